/* SPDX-License-Identifier: Apache-2.0 */
#include "dot_s8.h"
#include "tile.h"

void oplib_classifier_s8(const int8_t *x, int32_t *logits, const oplib_linear_s8_params *p)
{
    const int32_t n = p->in_features, quads = oplib_quads(n);
    const uint8_t *row = (const uint8_t *)x;
    const int8_t *w = p->weight;
    const int32_t *r = p->requant;
    for (int32_t o = 0; o < p->out_features; o += 2, w += 8 * quads, r += 4) {
        const oplib_block_2x2 start = {r[0], r[1], 0, 0};
        const oplib_block_2x2 sum = oplib_product_2x2(row, row, w, n, 0u, start);
        logits[o] = oplib_multiply_high(sum.t0c0, r[2], 0);
        if (o + 1 < p->out_features)
            logits[o + 1] = oplib_multiply_high(sum.t0c1, r[3], 0);
    }
}
