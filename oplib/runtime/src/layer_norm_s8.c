/* SPDX-License-Identifier: Apache-2.0 */
#include "isqrt.h"
#include "oplib.h"
#include "requant.h"

void oplib_layer_norm_s8(const int8_t *x, int8_t *y, int32_t tokens,
                         const oplib_layer_norm_s8_params *p)
{
    const int32_t n = p->features;
    for (int32_t t = 0; t < tokens; t++, x += n, y += n) {
        int32_t sum = 0, squares = 0;
        for (int32_t c = 0; c < n; c++) {
            sum += x[c];
            squares += (int32_t)x[c] * x[c];
        }
        /* features^2 * variance, exact modulo 2^32 and below it for every allowed width */
        uint32_t variance = (uint32_t)n * (uint32_t)squares - (uint32_t)sum * (uint32_t)sum + p->eps;
        if (variance == 0u)
            variance = 1u;
        const int32_t shift = oplib_count_leading_zeros(variance) & ~1;
        const uint32_t root = oplib_isqrt(variance << shift, p->sqrt_steps); /* [2^15, 2^16] */
        const int32_t inverse = (int32_t)(0x7fffffffu / root) * (1 << 14);  /* 2^45 / root */
        const int32_t scale = 1 << (shift / 2 + 10);
        for (int32_t c = 0; c < n; c++) {
            const int32_t centred = (x[c] * n - sum) * scale;
            const int32_t normal = oplib_multiply_high(centred, inverse, 0); /* 23 fraction bits */
            const int32_t value = oplib_multiply_high(normal, p->gamma[c], p->beta[c]);
            y[c] = oplib_saturate_s8(value >> 7);
        }
    }
}
