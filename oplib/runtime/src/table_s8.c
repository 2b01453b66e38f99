/* SPDX-License-Identifier: Apache-2.0 */
#include "oplib.h"

void oplib_table_s8(const int8_t *x, int8_t *y, int32_t n, const oplib_table_s8_params *params)
{
    for (int32_t i = 0; i < n; i++)
        y[i] = params->table[x[i] + 128];
}
