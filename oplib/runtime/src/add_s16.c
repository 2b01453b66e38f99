/* SPDX-License-Identifier: Apache-2.0 */
#include "add_s16.h"
#include "oplib.h"

void oplib_add_s16(const int16_t *a, const int8_t *b, int16_t *y, int32_t n,
                   const oplib_add_s16_params *params)
{
    const oplib_memory_s16 *stream = a;
    oplib_memory_s16 *sums = y;
    for (int32_t i = 0; i < n; i++)
        sums[i] = oplib_add_value_s16(stream[i], b[i], params);
}
