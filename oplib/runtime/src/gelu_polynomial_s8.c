/* SPDX-License-Identifier: Apache-2.0 */
#include "gelu.h"
#include "oplib.h"

void oplib_gelu_polynomial_s8(const int8_t *x, int8_t *y, int32_t n,
                              const oplib_gelu_polynomial_s8_params *params)
{
    for (int32_t i = 0; i < n; i++)
        y[i] = oplib_gelu_polynomial(x[i], params);
}
