/* SPDX-License-Identifier: Apache-2.0 */
#include "dot_s8.h"
#include "oplib.h"
#include "requant.h"

void oplib_linear_s8_s16(const int8_t *x, int16_t *y, int32_t tokens,
                         const oplib_linear_s8_params *p)
{
    const int32_t n = p->in_features;
    for (int32_t t = 0; t < tokens; t++, x += n) {
        const int8_t *w = p->weight;
        for (int32_t o = 0; o < p->out_features; o++, w += n)
            *y++ = oplib_saturate_s16(
                oplib_multiply_s16(p->bias[o] + oplib_dot_s8(x, w, n), p->multiplier[o]));
    }
}
