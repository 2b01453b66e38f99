/* SPDX-License-Identifier: Apache-2.0 */
#include "oplib.h"
#include "requant.h"

void oplib_mean_pool_s16(const int16_t *x, int8_t *y, int32_t tokens,
                         const oplib_mean_pool_s16_params *params)
{
    const oplib_memory_s16 *from = x;
    for (int32_t c = 0; c < params->features; c++) {
        int32_t sum = 0;
        for (int32_t t = params->first; t < tokens; t++)
            sum += from[t * params->features + c];
        y[c] = oplib_requantize(sum, params->multiplier, params->zero_point);
    }
}
