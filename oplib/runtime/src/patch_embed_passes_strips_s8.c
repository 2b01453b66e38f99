/* SPDX-License-Identifier: Apache-2.0 */
#include "oplib.h"
#include "strips.h"

void oplib_patch_embed_passes_strips_s8(oplib_fetch_rows fetch, int8_t *y, void *scratch,
                                        const oplib_patch_embed_passes_params *p)
{
    uint8_t *const rows = scratch;
    char *const room = (char *)scratch + oplib_strip_bytes(p->patch_size, p->img_size, p->in_chans);
    for (int32_t i = 0; i < p->grid_size; i++) {
        const int32_t first = oplib_fetch_strip(fetch, rows, i * p->patch_size - p->pad_before,
                                                p->patch_size, p->img_size);
        oplib_patch_embed_passes_s8(rows, first, y, room, i * p->grid_size, p->grid_size, p);
    }
}
