/* SPDX-License-Identifier: Apache-2.0 */
#include "layer_norm.h"
#include "tile.h"

OPLIB_MICRO_KERNEL OPLIB_FAST(normalise_row)
static void normalise_row(const int8_t *x, char *tile, const oplib_layer_norm_s8_params *p)
{
    const oplib_normal by = oplib_normal_s8(x, p);
    const int32_t *affine = p->affine;
    for (int32_t quads = p->features / 4; quads > 0; quads--, x += 4, affine += 8, tile += 32) {
        const int32_t a = oplib_normal_value(x[0], by, affine);
        const int32_t b = oplib_normal_value(x[1], by, affine + 2);
        const int32_t c = oplib_normal_value(x[2], by, affine + 4);
        const int32_t d = oplib_normal_value(x[3], by, affine + 6);
        oplib_store_u32(tile, oplib_halves(a, c));
        oplib_store_u32(tile + 16, oplib_halves(b, d));
    }
    const int32_t rest = p->features % 4;
    if (rest != 0) {
        const int32_t a = oplib_normal_value(x[0], by, affine);
        const int32_t b = rest > 1 ? oplib_normal_value(x[1], by, affine + 2) : 0;
        const int32_t c = rest > 2 ? oplib_normal_value(x[2], by, affine + 4) : 0;
        oplib_store_u32(tile, oplib_halves(a, c));
        oplib_store_u32(tile + 16, oplib_halves(b, 0));
    }
}

OPLIB_FAST(oplib_tile_layer_norm_s8)
void oplib_tile_layer_norm_s8(const int8_t *x, int32_t tokens, void *tile,
                              const oplib_layer_norm_s8_params *p)
{
    const oplib_tile_rows at = oplib_rows(p->features, tokens);
    char *out = tile;
    normalise_row(x, out, p);
    normalise_row(x + at.t1, out + 4, p);
    normalise_row(x + at.t2, out + 8, p);
    normalise_row(x + at.t3, out + 12, p);
}
