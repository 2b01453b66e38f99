/* SPDX-License-Identifier: Apache-2.0 */
#include "layer_norm.h"

OPLIB_FAST(oplib_layer_norm_s8)
void oplib_layer_norm_s8(const int8_t *x, int8_t *y, int32_t tokens,
                         const oplib_layer_norm_s8_params *params)
{
    const int32_t features = params->features;
    for (int32_t t = 0; t < tokens; t++, x += features, y += features) {
        const oplib_normal normal = oplib_normal_s8(x, params);
        for (int32_t c = 0; c < features; c++)
            y[c] = (int8_t)oplib_normal_value(x[c], normal, params->affine + 2 * c);
    }
}
