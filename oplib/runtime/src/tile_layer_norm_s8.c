/* SPDX-License-Identifier: Apache-2.0 */
#include "layer_norm.h"
#include "tile.h"

OPLIB_FAST(normalise_row)
OPLIB_MICRO_KERNEL
static void normalise_row(const int8_t *x, char *tile, const oplib_layer_norm_s8_params *params)
{
    oplib_normalise_row(x, 0, oplib_normal_s8(x, params), tile, params);
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
