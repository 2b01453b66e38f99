/* SPDX-License-Identifier: Apache-2.0 */
#include "oplib.h"
#include "strips.h"

int32_t oplib_patch_embed_strips_s8(oplib_image_rows *image, int8_t *y, void *scratch,
                                    const oplib_patch_embed_s8_params *params)
{
    const int32_t height = params->patch_size, size = params->img_size, grid = params->grid_size;
    uint8_t *const rows = scratch;
    char *const tile = (char *)scratch + oplib_strip_bytes(height, size, params->in_chans);
    for (; image->rows < grid; image->rows++) {
        const int32_t top = image->rows * height - params->pad_before;
        const int32_t status = oplib_fetch_strip(image, rows, top, height, size);
        if (status != 0)
            return status;
        oplib_patch_embed_s8(rows, top > 0 ? top : 0, y, tile, image->rows * grid, grid, params);
    }
    oplib_begin_image(image);
    return 0;
}
