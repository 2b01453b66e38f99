/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

void oplib_tile_pack_s8(const int8_t *x, int32_t stride, int32_t tokens, int32_t features,
                        void *tile)
{
    const oplib_tile_rows at = oplib_rows(stride, tokens);
    const uint8_t *first = (const uint8_t *)x;
    const uint8_t *const rows[OPLIB_TILE_TOKENS] = {first, first + at.t1, first + at.t2,
                                                    first + at.t3};
    oplib_tile_pack_rows_s8(rows, features, 0u, tile);
}
