/* SPDX-License-Identifier: Apache-2.0
 *
 * The loop of a board: fetch an image, run the network, hand on the class. Define board_fetch_image
 * (where the image comes in strips, model_fetch_rows) and board_report in a file of your own; these weak
 * ones do nothing, so that the firmware links and its size can be read.
 */
#include "model.h"
#include "port.h"

#ifndef MODEL_FETCHES_ROWS
/* Write MODEL_INPUT_BYTES raw pixels. */
void board_fetch_image(uint8_t *pixels);
#endif

/* Take the index of the most likely class and all logits. */
void board_report(int32_t class_index, const int32_t *logits);

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
