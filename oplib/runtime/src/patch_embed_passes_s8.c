/* SPDX-License-Identifier: Apache-2.0 */
#include "oplib.h"
#include "patch_passes.h"
#include "requant.h"

void oplib_patch_embed_passes_s8(const uint8_t *image, int8_t *y, void *scratch,
                                 const oplib_patch_embed_passes_params *p)
{
    const int32_t tokens = p->grid_size * p->grid_size, out = p->linear.out_features;
    const int8_t *position = p->position;
    int32_t *sums = scratch;
    for (int32_t o = 0; o < p->first * out; o++)
        *y++ = oplib_saturate_s8(p->linear.zero_point + *position++);
    for (int32_t t = 0; t < tokens; t++) {
        oplib_accumulate_patch(image, t, sums, (int8_t *)(sums + out), p);
        for (int32_t o = 0; o < out; o++) {
            const int32_t offset = p->linear.zero_point + (position != 0 ? *position++ : 0);
            *y++ = oplib_requantize(sums[o], p->linear.multiplier[o], offset);
        }
    }
}
