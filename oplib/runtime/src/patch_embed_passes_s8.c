/* SPDX-License-Identifier: Apache-2.0 */
#include "patch_passes.h"

void oplib_patch_embed_passes_s8(const uint8_t *rows, int32_t first_row, int8_t *y, void *scratch,
                                 int32_t token, int32_t count,
                                 const oplib_patch_embed_passes_s8_params *params)
{
    const oplib_patch_passes *passes = &params->passes;
    const int32_t end = token + count, out = passes->linear.out_features;
    const int8_t *position = params->position;
    if (token == 0)
        for (int32_t o = 0; o < passes->first * out; o++)
            y[o] = oplib_saturate_s8(passes->linear.zero_point + position[o]);
    y += (passes->first + token) * out;
    if (position != NULL)
        position += (passes->first + token) * out;
    for (; token < end; token += passes->panel) {
        const int32_t now = oplib_panel_tokens(token, end, passes->panel);
        oplib_accumulate_patches(rows, first_row, token, now, scratch, passes);
        for (int32_t i = 0; i < now; i++) {
            for (int32_t o = 0; o < out; o++) {
                const int32_t offset =
                    passes->linear.zero_point + (position != NULL ? *position++ : 0);
                const int32_t multiplier = oplib_patch_multiplier(&passes->linear, o);
                *y++ = oplib_requantize(oplib_patch_sum(scratch, i, o, &passes->linear), multiplier,
                                        offset);
            }
        }
    }
}
