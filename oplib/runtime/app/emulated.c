/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file emulated.c
 * @brief Run the network on every image of images.bin and write results.bin.
 *
 * For each image, results.bin holds the logits (int32) and the clock ticks of model_run (uint64);
 * at the end, the stack's high-water mark (uint32).
 */
#include "model.h"
#include "port.h"
#include "semihosting.h"

enum { OK, NO_IMAGES, NO_RESULTS, READ_FAILED, WRITE_FAILED };

#ifdef MODEL_FETCHES_ROWS
#define READING_FAILED (-1)
static int32_t source; /* the open file, or READING_FAILED */

void model_fetch_rows(uint8_t *rows, int32_t first, int32_t count)
{
    (void)first; /* rows are requested in order */
    if (source != READING_FAILED &&
        semihosting_read(source, rows, (uint32_t)count * MODEL_ROW_BYTES) != 0)
        source = READING_FAILED;
}
#endif

static int run_image(int32_t images, int32_t results)
{
#ifdef MODEL_FETCHES_ROWS
    source = images;
#else
    if (semihosting_read(images, model_input(), MODEL_INPUT_BYTES) != 0)
        return READ_FAILED;
#endif
    port_clock_start();
    const int32_t *logits = model_run();
    const uint64_t ticks = port_clock_ticks();
#ifdef MODEL_FETCHES_ROWS
    if (source == READING_FAILED)
        return READ_FAILED;
#endif
    if (semihosting_write(results, logits, MODEL_NUM_CLASSES * sizeof *logits) != 0 ||
        semihosting_write(results, &ticks, sizeof ticks) != 0)
        return WRITE_FAILED;
    return OK;
}

int main(void)
{
    if (model_weights_match() == 0) {
        semihosting_print("error: the weights are not those that the code was generated for\n");
        return PORT_EXIT_OTHER_WEIGHTS;
    }
    const int32_t images = semihosting_open_read("images.bin");
    const int32_t results = semihosting_open_write("results.bin");
    if (images < 0)
        return NO_IMAGES;
    if (results < 0)
        return NO_RESULTS;
    const int32_t count = semihosting_length(images) / MODEL_INPUT_BYTES;
    for (int32_t i = 0; i < count; i++) {
        const int status = run_image(images, results);
        if (status != OK)
            return status;
    }
    const uint32_t stack = port_stack_high_water();
    if (semihosting_write(results, &stack, sizeof stack) != 0 || semihosting_close(results) != 0)
        return WRITE_FAILED;
    return OK;
}
