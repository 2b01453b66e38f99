/* SPDX-License-Identifier: Apache-2.0 */
#include "isqrt.h"
#include "oplib.h"
#include "requant.h"

void oplib_layer_norm_s16(const int16_t *x, int8_t *y, int32_t tokens,
                          const oplib_layer_norm_s16_params *p)
{
    const int32_t n = p->features;
    for (int32_t t = 0; t < tokens; t++, x += n, y += n) {
        int32_t sum = 0;
        int64_t squares = 0;
        for (int32_t c = 0; c < n; c++) {
            sum += x[c];
            squares += x[c] * x[c];
        }
        /* features^2 * variance, exact; below 2^63 with eps */
        uint64_t variance = (uint64_t)(n * squares - (int64_t)sum * sum) + p->eps;
        if (variance == 0u)
            variance = 1u;
        /* an even shift brings it to [2^30, 2^32); to the right it drops bits of no weight */
        const uint32_t high = (uint32_t)(variance >> 32), low = (uint32_t)variance;
        const int32_t zeros = high != 0u ? oplib_count_leading_zeros(high)
                                         : 32 + oplib_count_leading_zeros(low);
        const int32_t shift = (zeros & ~1) - 32;
        const uint32_t scaled =
            (uint32_t)(shift < 0 ? variance >> -shift : variance << shift);
        const uint32_t root = oplib_isqrt(scaled, p->sqrt_steps);
        const int32_t inverse = (int32_t)(0x7fffffffu / root) * (1 << 14);
        const int32_t scale = 1 << (shift / 2 + 10);
        for (int32_t c = 0; c < n; c++) {
            const int32_t centred = (x[c] * n - sum) * scale;
            const int32_t normal = oplib_multiply_high(centred, inverse, 0); /* 23 fraction bits */
            const int32_t value = oplib_multiply_high(normal, p->gamma[c], p->beta[c]);
            y[c] = oplib_saturate_s8(value >> 7);
        }
    }
}
