/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

OPLIB_INLINE void pack_quad(char *out, uint32_t t0, uint32_t t1, uint32_t t2, uint32_t t3)
{
    oplib_store_u32(out, oplib_even_bytes(t0));
    oplib_store_u32(out + 4, oplib_even_bytes(t1));
    oplib_store_u32(out + 8, oplib_even_bytes(t2));
    oplib_store_u32(out + 12, oplib_even_bytes(t3));
    oplib_store_u32(out + 16, oplib_odd_bytes(t0));
    oplib_store_u32(out + 20, oplib_odd_bytes(t1));
    oplib_store_u32(out + 24, oplib_odd_bytes(t2));
    oplib_store_u32(out + 28, oplib_odd_bytes(t3));
}

static uint32_t last_bytes(const uint8_t *x, int32_t count, uint32_t flip)
{
    uint32_t word = 0u;
    for (int32_t i = 0; i < count; i++)
        word |= (uint32_t)x[i] << 8 * i;
    return word ^ flip;
}

OPLIB_FAST(oplib_tile_pack_rows_s8)
void oplib_tile_pack_rows_s8(const uint8_t *const rows[4], int32_t features, uint32_t flip,
                             void *tile)
{
    const uint8_t *x0 = rows[0], *x1 = rows[1], *x2 = rows[2], *x3 = rows[3];
    char *out = tile;
    int32_t quads = features / 4;
    if (flip == 0u) {
        for (; quads > 0; quads--, x0 += 4, x1 += 4, x2 += 4, x3 += 4, out += 32)
            pack_quad(out, oplib_load_u32(x0), oplib_load_u32(x1), oplib_load_u32(x2),
                      oplib_load_u32(x3));
    } else {
        for (; quads > 0; quads--, x0 += 4, x1 += 4, x2 += 4, x3 += 4, out += 32)
            pack_quad(out, oplib_load_u32(x0) ^ flip, oplib_load_u32(x1) ^ flip,
                      oplib_load_u32(x2) ^ flip, oplib_load_u32(x3) ^ flip);
    }
    const int32_t rest = features % 4;
    if (rest != 0)
        pack_quad(out, last_bytes(x0, rest, flip), last_bytes(x1, rest, flip),
                  last_bytes(x2, rest, flip), last_bytes(x3, rest, flip));
}
