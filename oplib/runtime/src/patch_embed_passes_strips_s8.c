/* SPDX-License-Identifier: Apache-2.0 */
#include "oplib.h"
#include "strips.h"

void oplib_patch_embed_passes_strips_s8(oplib_fetch_rows fetch, int8_t *y, void *scratch,
                                        const oplib_patch_embed_passes_s8_params *params)
{
    const oplib_patch_passes *passes = &params->passes;
    uint8_t *const rows = scratch;
    char *const work =
        (char *)scratch + oplib_strip_bytes(passes->patch_size, passes->img_size, passes->in_chans);
    for (int32_t i = 0; i < passes->grid_size; i++) {
        const int32_t top = i * passes->patch_size - passes->pad_before;
        const int32_t first =
            oplib_fetch_strip(fetch, rows, top, passes->patch_size, passes->img_size);
        oplib_patch_embed_passes_s8(rows, first, y, work, i * passes->grid_size, passes->grid_size,
                                    params);
    }
}
