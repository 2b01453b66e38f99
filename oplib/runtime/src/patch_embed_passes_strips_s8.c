/* SPDX-License-Identifier: Apache-2.0 */
#include "oplib.h"
#include "strips.h"

int32_t oplib_patch_embed_passes_strips_s8(oplib_image_rows *image, int8_t *y, void *scratch,
                                           const oplib_patch_embed_passes_s8_params *params)
{
    const oplib_patch_passes *const passes = &params->passes;
    const int32_t height = passes->patch_size, size = passes->img_size, grid = passes->grid_size;
    uint8_t *const rows = scratch;
    char *const work = (char *)scratch + oplib_strip_bytes(height, size, passes->in_chans);
    for (; image->rows < grid; image->rows++) {
        const int32_t top = image->rows * height - passes->pad_before;
        const int32_t status = oplib_fetch_strip(image, rows, top, height, size);
        if (status != 0)
            return status;
        oplib_patch_embed_passes_s8(rows, top > 0 ? top : 0, y, work, image->rows * grid, grid,
                                    params);
    }
    oplib_begin_image(image);
    return 0;
}
