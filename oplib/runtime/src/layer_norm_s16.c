/* SPDX-License-Identifier: Apache-2.0 */
#include "layer_norm.h"

void oplib_layer_norm_s16(const int16_t *x, int8_t *y, int32_t tokens,
                          const oplib_layer_norm_s8_params *params)
{
    const int32_t features = params->features;
    const oplib_memory_s16 *from = x;
    for (int32_t t = 0; t < tokens; t++, from += features, y += features) {
        const oplib_normal normal = oplib_normal_s16(from, params);
        for (int32_t c = 0; c < features; c++)
            y[c] = (int8_t)oplib_normal_value(from[c], normal, params->affine + 2 * c);
    }
}
