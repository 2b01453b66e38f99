/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file main.c
 * @brief The loop of a board: fetch an image, run the network, report the class.
 *
 * Define board_init, board_fetch_image (or model_fetch_rows, if the image is fetched in strips) and
 * board_report in a file of your own. The weak definitions here do nothing; with them the firmware
 * links and its size can be measured. If the weights in flash are not those of this code, nothing
 * runs, and port_end receives PORT_EXIT_OTHER_WEIGHTS.
 */
#include "model.h"
#include "port.h"

/* Set up clocks, caches and external memory; called once, before a weight is read. */
void board_init(void);

#ifndef MODEL_FETCHES_ROWS
/* Write MODEL_INPUT_BYTES raw pixels. */
void board_fetch_image(uint8_t *pixels);
#endif

/* Receive the index of the most likely class, and all logits. */
void board_report(int32_t class_index, const int32_t *logits);

__attribute__((weak)) void board_init(void)
{
}

#ifdef MODEL_FETCHES_ROWS
__attribute__((weak)) void model_fetch_rows(uint8_t *rows, int32_t first, int32_t count)
{
    (void)rows;
    (void)first;
    (void)count;
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
    if (model_weights_match() == 0)
        return PORT_EXIT_OTHER_WEIGHTS;
    for (;;) {
#ifndef MODEL_FETCHES_ROWS
        board_fetch_image(model_input());
#endif
        const int32_t *logits = model_run();
        int32_t best = 0;
        for (int32_t i = 1; i < MODEL_NUM_CLASSES; i++)
            if (logits[i] > logits[best])
                best = i;
        board_report(best, logits);
    }
}
