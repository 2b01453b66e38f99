/* SPDX-License-Identifier: Apache-2.0 */
#include "dot_s8.h"
#include "oplib.h"
#include "requant.h"

void oplib_classifier_s8(const int8_t *x, int32_t *logits, const oplib_linear_s8_params *p)
{
    const int32_t n = p->in_features;
    const int8_t *w = p->weight;
    for (int32_t o = 0; o < p->out_features; o++, w += n)
        logits[o] = oplib_multiply_high(p->bias[o] + oplib_dot_s8(x, w, n), p->multiplier[o], 0);
}
