/* SPDX-License-Identifier: Apache-2.0 */
#include "oplib.h"

void oplib_patch_embed_strips_s8(oplib_fetch_rows fetch, int8_t *y, void *scratch,
                                 const oplib_patch_embed_s8_params *p)
{
    const int32_t strip = p->patch_size * p->img_size * p->in_chans;
    uint8_t *const rows = scratch;
    for (int32_t i = 0; i < p->grid_size; i++) {
        const int32_t top = i * p->patch_size - p->pad_before;
        const int32_t first = top > 0 ? top : 0;
        const int32_t end = top + p->patch_size < p->img_size ? top + p->patch_size : p->img_size;
        fetch(rows, first, end - first);
        oplib_patch_embed_s8(rows, first, y, rows + (strip + 7) / 8 * 8, i * p->grid_size,
                             p->grid_size, p);
    }
}
