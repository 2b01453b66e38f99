/* SPDX-License-Identifier: Apache-2.0 */
#include "oplib.h"
#include "requant.h"

void oplib_mean_pool_s16(const int16_t *x, int8_t *y, int32_t tokens,
                         const oplib_mean_pool_s16_params *p)
{
    for (int32_t c = 0; c < p->features; c++) {
        int32_t sum = 0;
        for (int32_t t = p->first; t < tokens; t++)
            sum += x[t * p->features + c];
        y[c] = oplib_requantize(sum, p->multiplier, p->zero_point);
    }
}
