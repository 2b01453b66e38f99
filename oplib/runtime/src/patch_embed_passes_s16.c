/* SPDX-License-Identifier: Apache-2.0 */
#include "patch_passes.h"

void oplib_patch_embed_passes_s16(const uint8_t *image, int16_t *y, void *scratch,
                                  const oplib_patch_embed_passes_params *p)
{
    const int32_t tokens = p->grid_size * p->grid_size, out = p->linear.out_features;
    const int16_t *position = p->position;
    for (int32_t o = 0; o < p->first * out; o++)
        *y++ = *position++;
    for (int32_t t = 0; t < tokens; t += 4) {
        const int32_t now = oplib_tile_tokens(t, tokens);
        oplib_accumulate_patches(image, 0, t, now, scratch, p);
        for (int32_t i = 0; i < now; i++) {
            for (int32_t o = 0; o < out; o++) {
                const int32_t m = p->linear.requant[(o & ~1) * 2 + 2 + (o & 1)];
                const int64_t value = oplib_multiply_s16(oplib_patch_sum(scratch, i, o), m);
                *y++ = oplib_saturate_s16(value + (position != 0 ? *position++ : 0));
            }
        }
    }
}
