/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

OPLIB_INLINE void write_rows(oplib_block_4x2 sum, const int32_t m[OPLIB_TILE_TOKENS], int32_t z,
                             int8_t *y, int32_t second, oplib_tile_rows at)
{
    const int8_t t0c1 = oplib_requantize(sum.t0c1, m[0], z);
    const int8_t t0c0 = oplib_requantize(sum.t0c0, m[0], z);
    const int8_t t1c1 = oplib_requantize(sum.t1c1, m[1], z);
    const int8_t t1c0 = oplib_requantize(sum.t1c0, m[1], z);
    const int8_t t2c1 = oplib_requantize(sum.t2c1, m[2], z);
    const int8_t t2c0 = oplib_requantize(sum.t2c0, m[2], z);
    const int8_t t3c1 = oplib_requantize(sum.t3c1, m[3], z);
    const int8_t t3c0 = oplib_requantize(sum.t3c0, m[3], z);
    int8_t *const next = y + second;
    next[0] = t0c1;
    y[0] = t0c0;
    next[at.t1] = t1c1;
    y[at.t1] = t1c0;
    next[at.t2] = t2c1;
    y[at.t2] = t2c0;
    next[at.t3] = t3c1;
    y[at.t3] = t3c0;
}

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
                          m, params);
    for (int32_t c = 0; c < params->head_dim; c += 2, values += OPLIB_WEIGHT_QUAD_BYTES * quads)
        write_rows(oplib_product_4x2(scratch, values, quads, 0, 0), m, z, y + c,
                   oplib_is_less(c + 1, params->head_dim), at);
}
