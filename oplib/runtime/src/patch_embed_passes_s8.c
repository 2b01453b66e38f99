/* SPDX-License-Identifier: Apache-2.0 */
#include "patch_passes.h"

void oplib_patch_embed_passes_s8(const uint8_t *rows, int32_t first_row, int8_t *y, void *scratch,
                                 int32_t token, int32_t count,
                                 const oplib_patch_embed_passes_params *p)
{
    const int32_t end = token + count, out = p->linear.out_features;
    const int8_t *position = p->position;
    if (token == 0)
        for (int32_t o = 0; o < p->first * out; o++)
            y[o] = oplib_saturate_s8(p->linear.zero_point + position[o]);
    y += (p->first + token) * out;
    if (position != 0)
        position += (p->first + token) * out;
    for (; token < end; token += 4) {
        const int32_t now = oplib_tile_tokens(token, end);
        oplib_accumulate_patches(rows, first_row, token, now, scratch, p);
        for (int32_t i = 0; i < now; i++) {
            for (int32_t o = 0; o < out; o++) {
                const int32_t offset = p->linear.zero_point + (position != 0 ? *position++ : 0);
                const int32_t m = p->linear.requant[(o & ~1) * 2 + 2 + (o & 1)];
                *y++ = oplib_requantize(oplib_patch_sum(scratch, i, o), m, offset);
            }
        }
    }
}
