/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

void oplib_mlp_block_s8(int8_t *x, void *scratch, int32_t tokens,
                        const oplib_mlp_block_s8_params *params)
{
    const int32_t features = params->norm->features;
    char *const normal = scratch; /* reused for fc2's factor */
    char *const rank = normal + oplib_tile_bytes(features);
    char *const hidden = normal + params->hidden_offset;
    for (int32_t t = 0; t < tokens; t += OPLIB_TILE_TOKENS, x += OPLIB_TILE_TOKENS * features) {
        const int32_t rows = oplib_tile_tokens(t, tokens);
        const char *tile = normal;
        oplib_tile_layer_norm_s8(x, rows, normal, params->norm);
        if (params->fc1_factor != NULL) {
            oplib_tile_linear_tile_s8(normal, rank, 0, params->fc1_factor->out_features,
                                      params->fc1_factor);
            tile = rank;
        }
        oplib_tile_linear_tile_s8(tile, hidden, 0, params->fc1->out_features, params->fc1);
        tile = hidden;
        if (params->fc2_factor != NULL) {
            oplib_tile_linear_tile_s8(hidden, normal, 0, params->fc2_factor->out_features,
                                      params->fc2_factor);
            tile = normal;
        }
        oplib_tile_linear_add_s8(tile, x, features, rows, params->fc2, params->add);
    }
}
