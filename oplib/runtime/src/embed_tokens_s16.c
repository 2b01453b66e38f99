/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "oplib.h"
#include "requant.h"

void oplib_embed_tokens_s16(const int8_t *x, int16_t *y, int32_t tokens,
                            const oplib_embed_tokens_s16_params *params)
{
    const int32_t features = params->features;
    oplib_memory_s16 *to = y;
    for (int32_t i = 0; i < params->first * features; i++)
        to[i] = params->position[i];
    for (int32_t i = 0; i < tokens * features; i++) {
        const int32_t at = params->first * features + i;
        const int32_t value = oplib_rescale(x[i] - params->in_zero_point, params->multiplier);
        const int32_t position = params->position != NULL ? params->position[at] : 0;
        to[at] = oplib_saturate_s16((int64_t)value + position);
    }
}
