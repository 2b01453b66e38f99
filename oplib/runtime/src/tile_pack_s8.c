/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

void oplib_tile_pack_s8(const int8_t *x, int32_t stride, int32_t tokens, int32_t features,
                        void *panel)
{
    char *tile = panel;
    for (int32_t t = 0; t < tokens; t += OPLIB_TILE_TOKENS, tile += oplib_tile_bytes(features)) {
        const oplib_tile_rows at = oplib_rows(stride, oplib_tile_tokens(t, tokens));
        const uint8_t *first = (const uint8_t *)x + t * stride;
        const uint8_t *const rows[OPLIB_TILE_TOKENS] = {first, first + at.t1, first + at.t2,
                                                        first + at.t3};
        oplib_tile_pack_rows_s8(rows, features, 0u, tile);
    }
}
