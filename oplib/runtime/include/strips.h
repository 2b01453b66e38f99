/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file strips.h
 * @brief An image that the application supplies a strip of patches at a time.
 */
#ifndef OPLIB_STRIPS_H
#define OPLIB_STRIPS_H

#include "oplib.h"

/* Fetch those of the rows [top, top + height) that are inside the image; return the first. */
static inline int32_t oplib_fetch_strip(oplib_fetch_rows fetch, uint8_t *rows, int32_t top,
                                        int32_t height, int32_t img_size)
{
    const int32_t first = top > 0 ? top : 0;
    const int32_t end = top + height < img_size ? top + height : img_size;
    fetch(rows, first, end - first);
    return first;
}

#endif
