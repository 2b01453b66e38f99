/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

void oplib_mlp_block_s8(void *x, void *scratch, int32_t tokens,
                        const oplib_mlp_block_s8_params *params)
{
    const int32_t features = params->norm->features, hidden = params->fc1->out_features;
    char *stream = x, *const normal = scratch; /* reused for fc2's factor */
    char *const rank = normal + oplib_panel_bytes(params->panel, features);
    char *const between = normal + params->hidden_offset;
    for (int32_t t = 0; t < tokens; t += params->panel) {
        const int32_t rows = oplib_panel_tokens(t, tokens, params->panel);
        const char *panel = normal;
        params->norm_kernel(stream, rows, normal, params->norm);
        if (params->fc1_factor != NULL) {
            params->fc1_factor_kernel(normal, rank, rows, 0, params->fc1_factor->out_features,
                                      params->fc1_factor);
            panel = rank;
        }
        oplib_tile_linear_tile_s8(panel, between, rows, 0, hidden, params->fc1);
        if (params->activation_kernel != NULL)
            params->activation_kernel(between,
                                      oplib_panel_bytes(rows, hidden) / (int32_t)sizeof(int16_t),
                                      params->activation);
        panel = between;
        if (params->fc2_factor != NULL) {
            params->fc2_factor_kernel(between, normal, rows, 0, params->fc2_factor->out_features,
                                      params->fc2_factor);
            panel = normal;
        }
        params->add_kernel(panel, stream, features, rows, params->fc2, params->add);
        stream += rows * features * params->item_bytes;
    }
}
