/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

#define EVEN_BYTES 0x00ff00ffu

/* One quad of two rows. */
OPLIB_INLINE void pack_quad(int8_t *out, uint32_t row, uint32_t next)
{
    oplib_store_u32(out, (row & EVEN_BYTES) | (next & EVEN_BYTES) << 8);
    oplib_store_u32(out + OPLIB_WEIGHT_QUAD_BYTES / 2,
                    (row >> 8 & EVEN_BYTES) | (next & ~EVEN_BYTES));
}

OPLIB_FAST(oplib_tile_pack_pair_s8)
void oplib_tile_pack_pair_s8(const int8_t *row, const int8_t *next, int32_t dim, int8_t *keys)
{
    for (; dim >= OPLIB_QUAD; dim -= OPLIB_QUAD, row += OPLIB_QUAD, next += OPLIB_QUAD) {
        pack_quad(keys, oplib_load_u32(row), oplib_load_u32(next));
        keys += OPLIB_WEIGHT_QUAD_BYTES;
    }
    if (dim > 0)
        pack_quad(keys, oplib_last_bytes(row, dim), oplib_last_bytes(next, dim));
}

void oplib_tile_pack_keys_s8(const int8_t *rows, int32_t stride, int32_t count, int32_t dim,
                             int8_t *keys)
{
    for (; count > 0; count -= 2, rows += 2 * stride, keys += oplib_weight_bytes(dim, 2))
        oplib_tile_pack_pair_s8(rows, count > 1 ? rows + stride : rows, dim, keys);
}
