/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file patch.h
 * @brief Windows of an image, gathered as rows for patch embedding and convolution.
 */
#ifndef OPLIB_PATCH_H
#define OPLIB_PATCH_H

#include <stddef.h>
#include <stdint.h>

#include "oplib_image.h"

/* Gather the columns [left, left + side) of a row of pixels, channels together, each byte
 * exclusive-or'ed with `flip`. Outside the image, and everywhere if row is NULL, the value is
 * pad[channel]. Return the end of what was written. */
static inline int8_t *oplib_gather_row(const uint8_t *row, int32_t img_size, int32_t chans,
                                       const uint8_t *pad, uint32_t flip, int32_t left,
                                       int32_t side, int8_t *window)
{
    for (int32_t column = left; column < left + side; column++) {
        const int inside = row != NULL && column >= 0 && column < img_size;
        const uint8_t *pixel = inside ? row + column * chans : pad;
        for (int32_t channel = 0; channel < chans; channel++)
            *window++ = (int8_t)(pixel[channel] ^ flip);
    }
    return window;
}

/* Gather the window of `side` x `side` pixels p whose corner is at (top, left), row by row, as
 * codes p - 128. `image` holds the rows of the image from `first_row` on. */
static inline void oplib_gather_window(const uint8_t *image, int32_t first_row, int32_t img_size,
                                       int32_t chans, const uint8_t *pad, int32_t top, int32_t left,
                                       int32_t side, int8_t *window)
{
    for (int32_t row = top; row < top + side; row++) {
        const int inside = row >= 0 && row < img_size;
        const uint8_t *from = inside ? image + (row - first_row) * img_size * chans : NULL;
        window = oplib_gather_row(from, img_size, chans, pad, OPLIB_FLIP_PIXEL, left, side, window);
    }
}

/* The first pixel of a patch that is wholly inside the image. */
static inline const uint8_t *oplib_patch_corner(const uint8_t *rows, int32_t first_row,
                                                int32_t token,
                                                const oplib_patch_embed_s8_params *params)
{
    const int32_t row = token / params->grid_size * params->patch_size - first_row;
    const int32_t column = token % params->grid_size * params->patch_size;
    return rows + (row * params->img_size + column) * params->in_chans;
}

#endif
