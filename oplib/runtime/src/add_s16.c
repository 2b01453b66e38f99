/* SPDX-License-Identifier: Apache-2.0 */
#include "isa.h"
#include "oplib.h"

void oplib_add_s16(const int16_t *a, const int8_t *b, int16_t *y, int32_t n,
                   const oplib_add_s16_params *params)
{
    const oplib_memory_s16 *stream = a;
    oplib_memory_s16 *sums = y;
    for (int32_t i = 0; i < n; i++) {
        const int64_t left = (int64_t)(stream[i] * 256) * params->a_multiplier;
        const int64_t right =
            (int64_t)((b[i] - params->b_zero_point) * 65536) * params->b_multiplier;
        const int64_t sum = (left + right + ((int64_t)1 << 31)) >> 32;
        sums[i] = oplib_saturate_s16(sum);
    }
}
