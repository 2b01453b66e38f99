/* SPDX-License-Identifier: Apache-2.0 */
#include "isa.h"
#include "oplib.h"

void oplib_add_s8(const int8_t *a, const int8_t *b, int8_t *y, int32_t n,
                  const oplib_add_s8_params *params)
{
    for (int32_t i = 0; i < n; i++) {
        const int32_t left = (a[i] - params->a_zero_point) * params->a_multiplier;
        const int32_t right = (b[i] - params->b_zero_point) * params->b_multiplier;
        y[i] = oplib_saturate_s8(((left + right + (1 << 15)) >> 16) + params->zero_point);
    }
}
