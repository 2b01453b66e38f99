/* SPDX-License-Identifier: Apache-2.0 */
#include "patch.h"
#include "tile.h"

void oplib_tile_pack_patches_s8(const uint8_t *rows, int32_t first_row, int32_t token,
                                int32_t tokens, void *tile,
                                const oplib_patch_embed_s8_params *params)
{
    const int32_t length = params->patch_size * params->in_chans;
    const int32_t stride = params->img_size * params->in_chans;
    const uint8_t *from[OPLIB_TILE_TOKENS];
    char *out = tile;
    for (int32_t i = 0; i < OPLIB_TILE_TOKENS; i++)
        from[i] =
            oplib_patch_corner(rows, first_row, token + (i < tokens ? i : tokens - 1), params);
    for (int32_t row = 0; row < params->patch_size; row++) {
        oplib_tile_pack_rows_s8(from, length, OPLIB_FLIP_U8, out);
        out += OPLIB_FEATURE_BYTES * length;
        for (int32_t i = 0; i < OPLIB_TILE_TOKENS; i++)
            from[i] += stride;
    }
}
