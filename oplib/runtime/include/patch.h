/* SPDX-License-Identifier: Apache-2.0
 *
 * Windows of an image, gathered as rows: what patch embedding and convolution multiply.
 */
#ifndef OPLIB_PATCH_H
#define OPLIB_PATCH_H

#include <stdint.h>

/* A window of `side` x `side` pixels whose corner is at (top, left), row by row, channels together.
 * `image` holds the rows of the image from `first_row` on. Each byte is taken with `flip`
 * exclusive-or'ed: 0x80 turns a pixel p into the code p - 128, 0 keeps a code. Outside the image stands
 * pad[channel]. */
static inline void oplib_gather_window(const uint8_t *image, int32_t first_row, int32_t size,
                                       int32_t chans, const uint8_t *pad, uint32_t flip,
                                       int32_t top, int32_t left, int32_t side, int8_t *window)
{
    for (int32_t row = top; row < top + side; row++) {
        for (int32_t column = left; column < left + side; column++) {
            const int inside = row >= 0 && row < size && column >= 0 && column < size;
            const uint8_t *pixel =
                inside ? image + ((row - first_row) * size + column) * chans : pad;
            for (int32_t c = 0; c < chans; c++)
                *window++ = (int8_t)(pixel[c] ^ flip);
        }
    }
}

#endif
