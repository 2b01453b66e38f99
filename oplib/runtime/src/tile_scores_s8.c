/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

OPLIB_FAST(oplib_tile_scores_s8)
OPLIB_MICRO_KERNEL
void oplib_tile_scores_s8(const void *query, const int8_t *keys, int32_t tokens, int8_t *scores,
                          const oplib_attention_s8_params *params)
{
    const int32_t quads = oplib_quads(params->head_dim), stride = oplib_padded(tokens);
    const int32_t m = params->score_multiplier;
    for (int32_t j = 0; j < tokens; j += 2, keys += OPLIB_WEIGHT_QUAD_BYTES * quads, scores += 2) {
        const oplib_block_4x2 sum = oplib_product_4x2(query, keys, quads, 0, 0);
        const int8_t t0c0 = oplib_requantize(sum.t0c0, m, 0);
        const int8_t t0c1 = oplib_requantize(sum.t0c1, m, 0);
        const int8_t t1c0 = oplib_requantize(sum.t1c0, m, 0);
        const int8_t t1c1 = oplib_requantize(sum.t1c1, m, 0);
        const int8_t t2c0 = oplib_requantize(sum.t2c0, m, 0);
        const int8_t t2c1 = oplib_requantize(sum.t2c1, m, 0);
        const int8_t t3c0 = oplib_requantize(sum.t3c0, m, 0);
        const int8_t t3c1 = oplib_requantize(sum.t3c1, m, 0);
        int8_t *row = scores;
        row[0] = t0c0;
        row[1] = t0c1;
        row += stride;
        row[0] = t1c0;
        row[1] = t1c1;
        row += stride;
        row[0] = t2c0;
        row[1] = t2c1;
        row += stride;
        row[0] = t3c0;
        row[1] = t3c1;
    }
}
