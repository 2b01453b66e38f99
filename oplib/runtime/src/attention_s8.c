/* SPDX-License-Identifier: Apache-2.0 */
#include "dot_s8.h"
#include "oplib.h"
#include "requant.h"

/* y[c] = requant(sum_j weights[j] * v[j][c]) for the channels of one head; v's rows are `stride` apart. */
static void weigh_values(const uint16_t *weights, const int8_t *v, int8_t *y, int32_t tokens,
                         int32_t stride, int32_t multiplier, const oplib_attention_s8_params *p)
{
    int32_t c = 0;
    for (; c + 1 < p->head_dim; c += 2) {
        int32_t first = 0, second = 0;
        const int8_t *value = v + c;
        for (int32_t j = 0; j < tokens; j++, value += stride) {
            const int32_t weight = weights[j];
            first += weight * value[0];
            second += weight * value[1];
        }
        y[c] = oplib_requantize(first, multiplier, p->zero_point);
        y[c + 1] = oplib_requantize(second, multiplier, p->zero_point);
    }
    if (c < p->head_dim) {
        int32_t sum = 0;
        for (int32_t j = 0; j < tokens; j++)
            sum += (int32_t)weights[j] * v[j * stride + c];
        y[c] = oplib_requantize(sum, multiplier, p->zero_point);
    }
}

void oplib_attention_s8(const int8_t *q, const int8_t *k, const int8_t *v, int8_t *y,
                        void *scratch, int32_t tokens, const oplib_attention_s8_params *p)
{
    const int32_t dim = p->head_dim, stride = p->num_heads * dim;
    uint16_t *weights = scratch;
    int8_t *scores = (int8_t *)(weights + tokens);
    for (int32_t h = 0; h < p->num_heads; h++) {
        for (int32_t t = 0; t < tokens; t++) {
            const int32_t at = t * stride + h * dim;
            for (int32_t j = 0; j < tokens; j++) {
                const int32_t dot = oplib_dot_s8(q + at, k + j * stride + h * dim, dim);
                scores[j] = oplib_requantize(dot, p->score_multiplier, 0);
            }
            const uint32_t sum = oplib_softmax_s8(scores, weights, tokens, &p->softmax);
            const int32_t multiplier = (int32_t)((p->value_numerator + sum / 2u) / sum);
            /* q's slice of this row and head has been read to its end: y may take its place */
            weigh_values(weights, v + h * dim, y + at, tokens, stride, multiplier, p);
        }
    }
}
