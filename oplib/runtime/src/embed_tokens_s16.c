/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "oplib.h"
#include "requant.h"

void oplib_embed_tokens_s16(const int8_t *x, int16_t *y, int32_t token, int32_t count,
                            const oplib_embed_tokens_s16_params *params)
{
    const int32_t features = params->features, start = (params->first + token) * features;
    oplib_memory_s16 *to = y;
    if (token == 0)
        for (int32_t i = 0; i < params->first * features; i++)
            to[i] = params->position[i];
    for (int32_t i = 0; i < count * features; i++) {
        const int32_t value = oplib_rescale(x[i] - params->in_zero_point, params->multiplier);
        const int32_t position = params->position != NULL ? params->position[start + i] : 0;
        to[start + i] = oplib_saturate_s16((int64_t)value + position);
    }
}
