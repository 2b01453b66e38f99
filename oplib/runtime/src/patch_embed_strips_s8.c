/* SPDX-License-Identifier: Apache-2.0 */
#include "oplib.h"
#include "strips.h"

void oplib_patch_embed_strips_s8(oplib_fetch_rows fetch, int8_t *y, void *scratch,
                                 const oplib_patch_embed_s8_params *params)
{
    uint8_t *const rows = scratch;
    char *const tile =
        (char *)scratch + oplib_strip_bytes(params->patch_size, params->img_size, params->in_chans);
    for (int32_t i = 0; i < params->grid_size; i++) {
        const int32_t top = i * params->patch_size - params->pad_before;
        const int32_t first =
            oplib_fetch_strip(fetch, rows, top, params->patch_size, params->img_size);
        oplib_patch_embed_s8(rows, first, y, tile, i * params->grid_size, params->grid_size,
                             params);
    }
}
