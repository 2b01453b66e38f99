/* SPDX-License-Identifier: Apache-2.0
 *
 * Patch embedding in passes of small kernels (MCUFormer, section 3.2, patch embedding decomposition).
 */
#ifndef OPLIB_PATCH_PASSES_H
#define OPLIB_PATCH_PASSES_H

#include "dot_s8.h"
#include "oplib.h"
#include "patch.h"

/* Put the accumulators of patch `t` into sums (out_features,): bias, and one pass for each sub-kernel,
 * whose weights (out_features, kernel^2 * in_chans) lie one pass after the other. */
static inline void oplib_accumulate_patch(const uint8_t *image, int32_t t, int32_t *sums,
                                          int8_t *window,
                                          const oplib_patch_embed_passes_params *p)
{
    const int32_t side = p->kernel, out = p->linear.out_features;
    const int32_t length = side * side * p->in_chans;
    const int32_t top = t / p->grid_size * p->patch_size - p->pad_before;
    const int32_t left = t % p->grid_size * p->patch_size - p->pad_before;
    const int8_t *w = p->linear.weight;
    for (int32_t o = 0; o < out; o++)
        sums[o] = p->linear.bias[o];
    for (int32_t row = 0; row < p->patch_size; row += side) {
        for (int32_t column = 0; column < p->patch_size; column += side) {
            oplib_gather_window(image, p->img_size, p->in_chans, p->pad, 0x80u, top + row,
                                left + column, side, window);
            for (int32_t o = 0; o < out; o++, w += length)
                sums[o] += oplib_dot_s8(window, w, length);
        }
    }
}

#endif
