/* SPDX-License-Identifier: Apache-2.0 */
#include "patch_passes.h"

void oplib_patch_embed_passes_s8(const uint8_t *image, int8_t *y, void *scratch,
                                 const oplib_patch_embed_passes_params *p)
{
    const int32_t tokens = p->grid_size * p->grid_size, out = p->linear.out_features;
    const int8_t *position = p->position;
    for (int32_t o = 0; o < p->first * out; o++)
        *y++ = oplib_saturate_s8(p->linear.zero_point + *position++);
    for (int32_t t = 0; t < tokens; t += 4) {
        const int32_t now = oplib_tile_tokens(t, tokens);
        oplib_accumulate_patches(image, t, now, scratch, p);
        for (int32_t i = 0; i < now; i++) {
            for (int32_t o = 0; o < out; o++) {
                const int32_t offset = p->linear.zero_point + (position != 0 ? *position++ : 0);
                const int32_t m = p->linear.requant[(o & ~1) * 2 + 2 + (o & 1)];
                *y++ = oplib_requantize(oplib_patch_sum(scratch, i, o), m, offset);
            }
        }
    }
}
