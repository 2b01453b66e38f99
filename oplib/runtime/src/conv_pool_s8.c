/* SPDX-License-Identifier: Apache-2.0 */
#include "conv.h"

void oplib_conv_pool_s8(const uint8_t *x, int8_t *y, void *scratch,
                        const oplib_conv_pool_s8_params *params)
{
    const int32_t pooled = oplib_pooled_size(params);
    const oplib_pooled_rows rows = {y, pooled * params->linear.out_features, pooled};
    for (int32_t row = 0; row < params->conv_size; row++)
        oplib_conv_pool_row_s8(x, params->in_size, row, &rows, scratch, params);
}
