/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file main.c
 * @brief The loop of a board: fetch an image, run the network, report the class.
 *
 * Define board_init, board_fetch_image (or board_fetch_rows, if the image is fetched in strips) and
 * board_report in a file of your own. The weak definitions here do nothing; with them the firmware
 * links and its size can be measured. If the weights in flash are not those of this code, nothing
 * runs, and port_end receives PORT_EXIT_NOT_INITIALISED.
 */
#include "memory.h"
#include "port.h"

/* Set up clocks, caches and external memory; called once, before a weight is read. */
void board_init(void);

#if NETWORK_FETCHES_ROWS
/* Write rows [first, first + count); return NETWORK_OK, NETWORK_NOT_YET or an error below -99. */
int32_t board_fetch_rows(void *user, uint8_t *rows, int32_t first, int32_t count);
#else
/* Write NETWORK_INPUT_BYTES raw pixels. */
void board_fetch_image(uint8_t *pixels);
#endif

/* Receive the index of the most likely class, and all logits. */
void board_report(int32_t class_index, const int32_t *logits);

__attribute__((weak)) void board_init(void)
{
}

#if NETWORK_FETCHES_ROWS
__attribute__((weak)) int32_t board_fetch_rows(void *user, uint8_t *rows, int32_t first,
                                               int32_t count)
{
    (void)user;
    (void)rows;
    (void)first;
    (void)count;
    return NETWORK_OK;
}
#else
__attribute__((weak)) void board_fetch_image(uint8_t *pixels)
{
    (void)pixels;
}
#endif

__attribute__((weak)) void board_report(int32_t class_index, const int32_t *logits)
{
    (void)class_index;
    (void)logits;
}

__attribute__((weak)) void port_end(int code)
{
    (void)code;
    for (;;) {
    }
}

int main(void)
{
    board_init();
    if (memory_init() != NETWORK_OK)
        return PORT_EXIT_NOT_INITIALISED;
#if NETWORK_FETCHES_ROWS
    network.fetch_rows = board_fetch_rows;
#endif
    for (;;) {
#if !NETWORK_FETCHES_ROWS
        board_fetch_image(network_input(&network));
#endif
        if (network_run(&network) == NETWORK_OK)
            board_report(network_class(&network), network_logits(&network));
    }
}
