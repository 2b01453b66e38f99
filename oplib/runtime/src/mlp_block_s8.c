/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

void oplib_mlp_block_s8(int8_t *x, void *scratch, int32_t tokens,
                        const oplib_mlp_block_s8_params *p)
{
    const int32_t n = p->norm->features;
    char *const normal = scratch; /* later what lies between fc2's factors */
    char *const rank = normal + 32 * oplib_quads(n);
    char *const hidden = normal + p->hidden_offset;
    for (int32_t t = 0; t < tokens; t += 4, x += 4 * n) {
        const int32_t rows = oplib_tile_tokens(t, tokens);
        const char *last = normal;
        oplib_tile_layer_norm_s8(x, rows, normal, p->norm);
        if (p->fc1_factor != 0) {
            oplib_tile_linear_tile_s8(normal, rank, 0, p->fc1_factor->out_features, p->fc1_factor);
            last = rank;
        }
        oplib_tile_linear_tile_s8(last, hidden, 0, p->fc1->out_features, p->fc1);
        last = hidden;
        if (p->fc2_factor != 0) {
            oplib_tile_linear_tile_s8(hidden, normal, 0, p->fc2_factor->out_features,
                                      p->fc2_factor);
            last = normal;
        }
        oplib_tile_linear_add_s8(last, x, n, rows, p->fc2, p->add);
    }
}
