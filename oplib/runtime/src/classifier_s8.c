/* SPDX-License-Identifier: Apache-2.0 */
#include "dot_s8.h"
#include "tile.h"

void oplib_classifier_s8(const int8_t *x, int32_t *logits, const oplib_linear_s8_params *params)
{
    const int32_t features = params->in_features, quads = oplib_quads(features);
    const uint8_t *row = (const uint8_t *)x;
    const int8_t *weight = params->weight;
    const int32_t *requant = params->requant;
    oplib_memory_s32 *to = logits;
    for (int32_t o = 0; o < params->out_features;
         o += 2, weight += OPLIB_WEIGHT_QUAD_BYTES * quads, requant += 4) {
        const oplib_block_2x2 start = {requant[0], requant[1], 0, 0};
        const oplib_block_2x2 sum = oplib_product_2x2(row, row, weight, features, start);
        to[o] = oplib_multiply_high(sum.t0c0, requant[2], 0);
        if (o + 1 < params->out_features)
            to[o + 1] = oplib_multiply_high(sum.t0c1, requant[3], 0);
    }
}
