/* SPDX-License-Identifier: Apache-2.0
 *
 * An image that the application hands over, a strip of patches at a time.
 */
#ifndef OPLIB_STRIPS_H
#define OPLIB_STRIPS_H

#include "oplib.h"

/* Bytes of one strip, rounded up to the alignment of what lies behind it. */
static inline int32_t oplib_strip_bytes(int32_t height, int32_t img_size, int32_t in_chans)
{
    return (height * img_size * in_chans + 7) / 8 * 8;
}

/* Fetch the rows [top, top + height), as far as they are inside the image; returns the first of them. */
static inline int32_t oplib_fetch_strip(oplib_fetch_rows fetch, uint8_t *rows, int32_t top,
                                        int32_t height, int32_t img_size)
{
    const int32_t first = top > 0 ? top : 0;
    const int32_t end = top + height < img_size ? top + height : img_size;
    fetch(rows, first, end - first);
    return first;
}

#endif
