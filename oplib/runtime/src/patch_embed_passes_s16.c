/* SPDX-License-Identifier: Apache-2.0 */
#include "patch_passes.h"

void oplib_patch_embed_passes_s16(const uint8_t *image, int16_t *y, void *scratch,
                                  const oplib_patch_embed_passes_s16_params *params)
{
    const oplib_patch_passes *passes = &params->passes;
    const int32_t tokens = passes->grid_size * passes->grid_size;
    const int32_t out = passes->linear.out_features;
    const int16_t *position = params->position;
    oplib_memory_s16 *to = y;
    for (int32_t o = 0; o < passes->first * out; o++)
        *to++ = *position++;
    for (int32_t t = 0; t < tokens; t += passes->panel) {
        const int32_t now = oplib_panel_tokens(t, tokens, passes->panel);
        oplib_accumulate_patches(image, 0, t, now, scratch, passes);
        for (int32_t i = 0; i < now; i++) {
            for (int32_t o = 0; o < out; o++) {
                const int32_t multiplier = oplib_patch_multiplier(&passes->linear, o);
                const int64_t value =
                    oplib_multiply_s16(oplib_patch_sum(scratch, i, o, &passes->linear), multiplier);
                *to++ = oplib_saturate_s16(value + (position != NULL ? *position++ : 0));
            }
        }
    }
}
