/* SPDX-License-Identifier: Apache-2.0 */
#include "isa.h"
#include "oplib.h"

void oplib_add_s8(const int8_t *a, const int8_t *b, int8_t *y, int32_t n,
                  const oplib_add_s8_params *p)
{
    for (int32_t i = 0; i < n; i++) {
        const int32_t left = (a[i] - p->a_zero_point) * p->a_multiplier;
        const int32_t right = (b[i] - p->b_zero_point) * p->b_multiplier;
        y[i] = oplib_saturate_s8(((left + right + (1 << 15)) >> 16) + p->zero_point);
    }
}
