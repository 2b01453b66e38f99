/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

OPLIB_INLINE void write_tile(oplib_block_4x2 sum, const int32_t m[OPLIB_TILE_TOKENS], int32_t z,
                             oplib_memory_s16 *y)
{
    y[0] = (int16_t)oplib_requantize_word(sum.t0c0, m[0], z);
    y[8] = (int16_t)oplib_requantize_word(sum.t0c1, m[0], z);
    y[2] = (int16_t)oplib_requantize_word(sum.t1c0, m[1], z);
    y[10] = (int16_t)oplib_requantize_word(sum.t1c1, m[1], z);
    y[4] = (int16_t)oplib_requantize_word(sum.t2c0, m[2], z);
    y[12] = (int16_t)oplib_requantize_word(sum.t2c1, m[2], z);
    y[6] = (int16_t)oplib_requantize_word(sum.t3c0, m[3], z);
    y[14] = (int16_t)oplib_requantize_word(sum.t3c1, m[3], z);
}

OPLIB_FAST(oplib_tile_attention_tile_s8)
OPLIB_MICRO_KERNEL
void oplib_tile_attention_tile_s8(const void *query, const int8_t *keys, const int8_t *values,
                                  int32_t tokens, void *tile, void *scratch,
                                  const oplib_attention_s8_params *params)
{
    const int32_t quads = oplib_quads(tokens), z = params->zero_point;
    int8_t *const scores = (int8_t *)scratch + OPLIB_QUAD_BYTES * quads;
    int32_t m[OPLIB_TILE_TOKENS];
    oplib_tile_scores_s8(query, keys, tokens, scores, params);
    oplib_tile_softmax_s8(scores, tokens, scratch, scores + OPLIB_TILE_TOKENS * OPLIB_QUAD * quads,
                          m, &params->softmax);
    oplib_output_multipliers(m, params);
    for (int32_t c = 0; c < params->head_dim; c += 2, values += OPLIB_WEIGHT_QUAD_BYTES * quads)
        write_tile(oplib_product_4x2(scratch, values, quads, 0, 0), m, z,
                   (oplib_memory_s16 *)tile + oplib_tile_channel(c));
}
