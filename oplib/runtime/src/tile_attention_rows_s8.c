/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

OPLIB_FAST(oplib_tile_attention_rows_s8)
OPLIB_MICRO_KERNEL
void oplib_tile_attention_rows_s8(const void *query, const int8_t *keys, const int8_t *values,
                                  int32_t tokens, int8_t *y, int32_t stride, int32_t rows,
                                  void *scratch, const oplib_attention_s8_params *params)
{
    const int32_t quads = oplib_quads(tokens), z = params->zero_point;
    const oplib_tile_rows at = oplib_rows(stride, rows);
    int8_t *const scores = (int8_t *)scratch + OPLIB_QUAD_BYTES * quads;
    int32_t m[OPLIB_TILE_TOKENS];
    oplib_tile_scores_s8(query, keys, tokens, scores, params);
    oplib_tile_softmax_s8(scores, tokens, scratch, scores + OPLIB_TILE_TOKENS * OPLIB_QUAD * quads,
                          m, &params->softmax);
    oplib_output_multipliers(m, params);
    for (int32_t c = 0; c < params->head_dim; c += 2, values += OPLIB_WEIGHT_QUAD_BYTES * quads)
        oplib_write_rows(oplib_product_4x2(scratch, values, quads, 0, 0), m, z, y + c,
                         oplib_is_less(c + 1, params->head_dim), at);
}
