/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

void oplib_linear_add_s8(const int8_t *x, int8_t *stream, void *scratch, int32_t tokens,
                         const oplib_linear_add_s8_params *p)
{
    const int32_t in = p->linear->in_features, out = p->linear->out_features;
    for (int32_t t = 0; t < tokens; t += 4) {
        const int32_t rows = oplib_tile_tokens(t, tokens);
        oplib_tile_pack_s8(x + t * in, in, rows, in, scratch);
        oplib_tile_linear_add_s8(scratch, stream + t * out, out, rows, p->linear, p->add);
    }
}
