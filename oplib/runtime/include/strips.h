/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file strips.h
 * @brief An image that the application supplies row by row, for kernels.
 */
#ifndef OPLIB_STRIPS_H
#define OPLIB_STRIPS_H

#include "oplib.h"

/* Begin an image, or the next one. */
static inline void oplib_begin_image(oplib_image_rows *image)
{
    image->rows = 0;
    image->convolved[0] = 0;
    image->convolved[1] = 0;
    image->tokens = 0;
}

/* Fetch those of the rows [top, top + height) that are inside the image; return the fetch's value.
 */
static inline int32_t oplib_fetch_strip(const oplib_image_rows *image, uint8_t *rows, int32_t top,
                                        int32_t height, int32_t img_size)
{
    const int32_t first = top > 0 ? top : 0;
    const int32_t end = top + height < img_size ? top + height : img_size;
    return image->fetch(image->user, rows, first, end - first);
}

#endif
