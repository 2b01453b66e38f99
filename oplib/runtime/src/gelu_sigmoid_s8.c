/* SPDX-License-Identifier: Apache-2.0 */
#include "exp2.h"
#include "oplib.h"
#include "requant.h"

void oplib_gelu_sigmoid_s8(const int8_t *x, int8_t *y, int32_t n,
                           const oplib_gelu_sigmoid_s8_params *params)
{
    for (int32_t i = 0; i < n; i++) {
        const int32_t t = x[i] - params->in_zero_point;
        const uint32_t e = oplib_exp2_polynomial((uint32_t)(t < 0 ? -t : t) * params->factor);
        const uint32_t above = t < 0 ? e : OPLIB_ONE; /* softmax over {1.702 x, 0} */
        const uint32_t sum = OPLIB_ONE + e;
        const int32_t sigmoid = (int32_t)(((above << 15) + sum / 2u) / sum);
        y[i] = oplib_requantize(t * sigmoid, params->multiplier, params->zero_point);
    }
}
