/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

void oplib_mlp_block_s8(int8_t *x, void *scratch, int32_t tokens,
                        const oplib_mlp_block_s8_params *params)
{
    const int32_t features = params->norm->features;
    char *const normal = scratch; /* reused for fc2's factor */
    char *const rank = normal + oplib_panel_bytes(params->panel, features);
    char *const hidden = normal + params->hidden_offset;
    for (int32_t t = 0; t < tokens; t += params->panel, x += params->panel * features) {
        const int32_t rows = oplib_panel_tokens(t, tokens, params->panel);
        const char *panel = normal;
        oplib_tile_layer_norm_s8(x, rows, normal, params->norm);
        if (params->fc1_factor != NULL) {
            oplib_tile_linear_tile_s8(normal, rank, rows, 0, params->fc1_factor->out_features,
                                      params->fc1_factor);
            panel = rank;
        }
        oplib_tile_linear_tile_s8(panel, hidden, rows, 0, params->fc1->out_features, params->fc1);
        panel = hidden;
        if (params->fc2_factor != NULL) {
            oplib_tile_linear_tile_s8(hidden, normal, rows, 0, params->fc2_factor->out_features,
                                      params->fc2_factor);
            panel = normal;
        }
        oplib_tile_linear_add_s8(panel, x, features, rows, params->fc2, params->add);
    }
}
