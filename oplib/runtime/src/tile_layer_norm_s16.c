/* SPDX-License-Identifier: Apache-2.0 */
#include "layer_norm.h"
#include "tile.h"

OPLIB_MICRO_KERNEL
static void normalise_row(const oplib_memory_s16 *x, char *tile,
                          const oplib_layer_norm_s8_params *params)
{
    oplib_normalise_row(x, 1, oplib_normal_s16(x, params), tile, params);
}

void oplib_tile_layer_norm_s16(const void *stream, int32_t tokens, void *panel,
                               const oplib_layer_norm_s8_params *params)
{
    const oplib_memory_s16 *x = stream;
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
