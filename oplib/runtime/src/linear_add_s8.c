/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

void oplib_linear_add_s8(const int8_t *x, int8_t *stream, void *scratch, int32_t tokens,
                         int32_t panel, const oplib_linear_add_s8_params *params)
{
    const int32_t in = params->linear->in_features, out = params->linear->out_features;
    for (int32_t t = 0; t < tokens; t += panel) {
        const int32_t rows = oplib_panel_tokens(t, tokens, panel);
        oplib_tile_pack_s8(x + t * in, in, rows, in, scratch);
        oplib_tile_linear_add_s8(scratch, stream + t * out, out, rows, params->linear, params->add);
    }
}
