/* SPDX-License-Identifier: Apache-2.0 */
#include "oplib.h"
#include "requant.h"

void oplib_linear_s16_s8(const int16_t *x, int8_t *y, int32_t tokens,
                         const oplib_linear_s8_params *p)
{
    const int32_t n = p->in_features;
    for (int32_t t = 0; t < tokens; t++, x += n) {
        const int8_t *w = p->weight;
        for (int32_t o = 0; o < p->out_features; o++, w += n) {
            int32_t sum = p->bias[o];
            for (int32_t i = 0; i < n; i++)
                sum += x[i] * w[i];
            *y++ = oplib_requantize(sum, p->multiplier[o], p->zero_point);
        }
    }
}
