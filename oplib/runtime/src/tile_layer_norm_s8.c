/* SPDX-License-Identifier: Apache-2.0 */
#include "layer_norm.h"
#include "tile.h"

/* Put a normalised row into its place in a tile. */
OPLIB_FAST(normalise_row)
OPLIB_MICRO_KERNEL
static void normalise_row(const int8_t *x, char *tile, const oplib_layer_norm_s8_params *params)
{
    const oplib_normal normal = oplib_normal_s8(x, params);
    const int32_t *affine = params->affine;
    for (int32_t quads = params->features / OPLIB_QUAD; quads > 0;
         quads--, x += OPLIB_QUAD, affine += 2 * OPLIB_QUAD, tile += OPLIB_QUAD_BYTES) {
        const int32_t a = oplib_normal_value(x[0], normal, affine);
        const int32_t b = oplib_normal_value(x[1], normal, affine + 2);
        const int32_t c = oplib_normal_value(x[2], normal, affine + 4);
        const int32_t d = oplib_normal_value(x[3], normal, affine + 6);
        oplib_store_u32(tile, oplib_halves(a, c));
        oplib_store_u32(tile + OPLIB_QUAD_ODD, oplib_halves(b, d));
    }
    const int32_t rest = params->features % OPLIB_QUAD;
    if (rest != 0) {
        const int32_t a = oplib_normal_value(x[0], normal, affine);
        const int32_t b = rest > 1 ? oplib_normal_value(x[1], normal, affine + 2) : 0;
        const int32_t c = rest > 2 ? oplib_normal_value(x[2], normal, affine + 4) : 0;
        oplib_store_u32(tile, oplib_halves(a, c));
        oplib_store_u32(tile + OPLIB_QUAD_ODD, oplib_halves(b, 0));
    }
}

OPLIB_FAST(oplib_tile_layer_norm_s8)
void oplib_tile_layer_norm_s8(const void *stream, int32_t tokens, void *panel,
                              const oplib_layer_norm_s8_params *params)
{
    const int8_t *x = stream;
    char *tile = panel;
    for (int32_t t = 0; t < tokens; t += OPLIB_TILE_TOKENS) {
        const oplib_tile_rows at = oplib_rows(params->features, oplib_tile_tokens(t, tokens));
        normalise_row(x, tile, params);
        normalise_row(x + at.t1, tile + OPLIB_TOKEN_BYTES, params);
        normalise_row(x + at.t2, tile + 2 * OPLIB_TOKEN_BYTES, params);
        normalise_row(x + at.t3, tile + 3 * OPLIB_TOKEN_BYTES, params);
        x += OPLIB_TILE_TOKENS * params->features;
        tile += oplib_tile_bytes(params->features);
    }
}
