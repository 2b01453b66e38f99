/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file images.c
 * @brief Run the network on every image of images.bin and write results.bin.
 *
 * For each image, results.bin holds the logits (int32) and the clock ticks of network_run()
 * (uint64); at the end, the stack's high-water mark (uint32).
 */
#include "memory.h"
#include "port.h"
#include "semihosting.h"

enum { OK, NO_IMAGES, NO_RESULTS, READ_FAILED, WRITE_FAILED, NOT_RUN };

#if NETWORK_FETCHES_ROWS
static int32_t read_rows(void *user, uint8_t *rows, int32_t first, int32_t count)
{
    (void)first; /* rows are requested in order */
    const int32_t images = *(const int32_t *)user;
    return semihosting_read(images, rows, (uint32_t)count * NETWORK_ROW_BYTES) == 0 ? NETWORK_OK
                                                                                    : -100;
}
#endif

static int run_image(int32_t images, int32_t results)
{
#if NETWORK_FETCHES_ROWS
    network.fetch_rows = read_rows;
    network.user = &images;
#else
    if (semihosting_read(images, network_input(&network), NETWORK_INPUT_BYTES) != 0)
        return READ_FAILED;
#endif
    port_clock_start();
    const int32_t status = network_run(&network);
    const uint64_t ticks = port_clock_ticks();
    if (status != NETWORK_OK)
        return NOT_RUN;
    const int32_t *const logits = network_logits(&network);
    if (semihosting_write(results, logits, NETWORK_NUM_CLASSES * sizeof *logits) != 0 ||
        semihosting_write(results, &ticks, sizeof ticks) != 0)
        return WRITE_FAILED;
    return OK;
}

int main(void)
{
    const int32_t status = memory_init();
    if (status == NETWORK_OTHER_WEIGHTS)
        semihosting_print("error: the weights are not those that the code was generated for\n");
    if (status != NETWORK_OK)
        return PORT_EXIT_NOT_INITIALISED;
    const int32_t images = semihosting_open_read("images.bin");
    const int32_t results = semihosting_open_write("results.bin");
    if (images < 0)
        return NO_IMAGES;
    if (results < 0)
        return NO_RESULTS;
    const int32_t count = semihosting_length(images) / NETWORK_INPUT_BYTES;
    for (int32_t i = 0; i < count; i++) {
        const int failure = run_image(images, results);
        if (failure != OK)
            return failure;
    }
    const uint32_t stack = port_stack_high_water();
    if (semihosting_write(results, &stack, sizeof stack) != 0 || semihosting_close(results) != 0)
        return WRITE_FAILED;
    return OK;
}
