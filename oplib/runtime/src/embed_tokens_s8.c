/* SPDX-License-Identifier: Apache-2.0 */
#include "oplib.h"
#include "requant.h"

void oplib_embed_tokens_s8(const int8_t *x, int8_t *y, int32_t tokens,
                           const oplib_embed_tokens_s8_params *p)
{
    const int32_t n = p->features;
    for (int32_t i = 0; i < p->first * n; i++)
        y[i] = oplib_saturate_s8(p->zero_point + p->position[i]);
    for (int32_t i = 0; i < tokens * n; i++) {
        const int32_t at = p->first * n + i;
        const int32_t value = oplib_rescale(x[i] - p->in_zero_point, p->multiplier);
        const int32_t position = p->position != 0 ? p->position[at] : 0;
        y[at] = oplib_saturate_s8(value + p->zero_point + position);
    }
}
