/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "oplib.h"
#include "requant.h"

void oplib_embed_tokens_s8(const int8_t *x, int8_t *y, int32_t token, int32_t count,
                           const oplib_embed_tokens_s8_params *params)
{
    const int32_t features = params->features, start = (params->first + token) * features;
    if (token == 0)
        for (int32_t i = 0; i < params->first * features; i++)
            y[i] = oplib_saturate_s8(params->zero_point + params->position[i]);
    for (int32_t i = 0; i < count * features; i++) {
        const int32_t value = oplib_rescale(x[i] - params->in_zero_point, params->multiplier);
        const int32_t position = params->position != NULL ? params->position[start + i] : 0;
        y[start + i] = oplib_saturate_s8(value + params->zero_point + position);
    }
}
