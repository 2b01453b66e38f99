/* SPDX-License-Identifier: Apache-2.0 */
#include "oplib.h"
#include "requant.h"

#define CLIP 7246      /* 1.769 with 12 fraction bits */
#define CURVATURE 9463 /* 0.2888 with 15 fraction bits */

void oplib_gelu_polynomial_s8(const int8_t *x, int8_t *y, int32_t n,
                              const oplib_gelu_polynomial_s8_params *params)
{
    for (int32_t i = 0; i < n; i++) {
        const int32_t t = x[i] - params->in_zero_point;
        const uint32_t u = ((uint32_t)(t < 0 ? -t : t) * params->factor) >> 4; /* |x| / sqrt(2) */
        const int32_t short_of = u < CLIP ? CLIP - (int32_t)u : 0;
        const int32_t drop = (((short_of * short_of) >> 9) * CURVATURE) >> 15;
        const int32_t erf = t == 0 ? 0 : 32768 - drop;
        const int32_t twice = t < 0 ? 32768 - erf : 32768 + erf;
        y[i] = oplib_requantize(t * twice, params->multiplier, params->zero_point);
    }
}
