/* SPDX-License-Identifier: Apache-2.0 */
#include "layer_norm.h"

/* The exact statistics of an int16 token. */
static oplib_normal normal_s16(const oplib_memory_s16 *x, const oplib_layer_norm_s16_params *params)
{
    const int32_t features = params->features;
    int32_t sum = 0;
    int64_t squares = 0;
    for (int32_t c = 0; c < features; c++) {
        sum += x[c];
        squares += x[c] * x[c];
    }
    /* features^2 * variance, exact; below 2^63 with eps */
    uint64_t variance = (uint64_t)(features * squares - (int64_t)sum * sum) + params->eps;
    if (variance == 0u)
        variance = 1u;
    /* an even shift brings it to [2^30, 2^32); to the right it drops insignificant bits */
    const uint32_t high = (uint32_t)(variance >> 32), low = (uint32_t)variance;
    const int32_t zeros =
        high != 0u ? oplib_count_leading_zeros(high) : 32 + oplib_count_leading_zeros(low);
    const int32_t shift = (zeros & ~1) - 32;
    const uint32_t scaled = (uint32_t)(shift < 0 ? variance >> -shift : variance << shift);
    return oplib_normalise(scaled, shift, features, sum, params->sqrt_steps);
}

void oplib_layer_norm_s16(const int16_t *x, int8_t *y, int32_t tokens,
                          const oplib_layer_norm_s16_params *params)
{
    const int32_t features = params->features;
    const oplib_memory_s16 *from = x;
    for (int32_t t = 0; t < tokens; t++, from += features, y += features) {
        const oplib_normal normal = normal_s16(from, params);
        for (int32_t c = 0; c < features; c++)
            y[c] = (int8_t)oplib_normal_value(from[c], normal, params->affine + 2 * c);
    }
}
