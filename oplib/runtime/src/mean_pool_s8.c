/* SPDX-License-Identifier: Apache-2.0 */
#include "oplib.h"
#include "requant.h"

void oplib_mean_pool_s8(const int8_t *x, int8_t *y, int32_t tokens,
                        const oplib_mean_pool_s8_params *params)
{
    for (int32_t c = 0; c < params->features; c++) {
        int32_t sum = -(tokens - params->first) * params->in_zero_point;
        for (int32_t t = params->first; t < tokens; t++)
            sum += x[t * params->features + c];
        y[c] = oplib_requantize(sum * 256, params->multiplier, params->zero_point);
    }
}
