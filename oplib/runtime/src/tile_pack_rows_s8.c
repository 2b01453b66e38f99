/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

/* One quad of a tile from four words of int8. */
OPLIB_INLINE void pack_quad(char *out, uint32_t t0, uint32_t t1, uint32_t t2, uint32_t t3)
{
    oplib_store_u32(out, oplib_even_bytes(t0));
    oplib_store_u32(out + OPLIB_TOKEN_BYTES, oplib_even_bytes(t1));
    oplib_store_u32(out + 2 * OPLIB_TOKEN_BYTES, oplib_even_bytes(t2));
    oplib_store_u32(out + 3 * OPLIB_TOKEN_BYTES, oplib_even_bytes(t3));
    oplib_store_u32(out + OPLIB_QUAD_ODD, oplib_odd_bytes(t0));
    oplib_store_u32(out + OPLIB_QUAD_ODD + OPLIB_TOKEN_BYTES, oplib_odd_bytes(t1));
    oplib_store_u32(out + OPLIB_QUAD_ODD + 2 * OPLIB_TOKEN_BYTES, oplib_odd_bytes(t2));
    oplib_store_u32(out + OPLIB_QUAD_ODD + 3 * OPLIB_TOKEN_BYTES, oplib_odd_bytes(t3));
}

OPLIB_FAST(oplib_tile_pack_rows_s8)
void oplib_tile_pack_rows_s8(const uint8_t *const rows[OPLIB_TILE_TOKENS], int32_t features,
                             uint32_t flip, void *tile)
{
    const uint8_t *x0 = rows[0], *x1 = rows[1], *x2 = rows[2], *x3 = rows[3];
    char *out = tile;
    int32_t quads = features / OPLIB_QUAD;
    if (flip == 0u) {
        for (; quads > 0; quads--, x0 += 4, x1 += 4, x2 += 4, x3 += 4, out += OPLIB_QUAD_BYTES)
            pack_quad(out, oplib_load_u32(x0), oplib_load_u32(x1), oplib_load_u32(x2),
                      oplib_load_u32(x3));
    } else {
        for (; quads > 0; quads--, x0 += 4, x1 += 4, x2 += 4, x3 += 4, out += OPLIB_QUAD_BYTES)
            pack_quad(out, oplib_load_u32(x0) ^ flip, oplib_load_u32(x1) ^ flip,
                      oplib_load_u32(x2) ^ flip, oplib_load_u32(x3) ^ flip);
    }
    const int32_t rest = features % OPLIB_QUAD;
    if (rest != 0)
        pack_quad(out, oplib_last_bytes(x0, rest) ^ flip, oplib_last_bytes(x1, rest) ^ flip,
                  oplib_last_bytes(x2, rest) ^ flip, oplib_last_bytes(x3, rest) ^ flip);
}
