/* SPDX-License-Identifier: Apache-2.0
 *
 * Patch embedding in passes of small kernels (MCUFormer, section 3.2, patch embedding decomposition).
 */
#ifndef OPLIB_PATCH_PASSES_H
#define OPLIB_PATCH_PASSES_H

#include "patch.h"
#include "tile.h"

typedef struct {
    int32_t *sums; /* (channels / 2, 4 tokens, 2 channels) */
    int32_t start; /* whether the sums begin here */
} oplib_patch_sums;

OPLIB_INLINE void oplib_add_to_sums(oplib_block_4x2 sum, const int32_t *m, int32_t channel,
                                    int32_t second, const void *place)
{
    const oplib_patch_sums *to = place;
    int32_t *at = to->sums + 4 * channel;
    const int32_t parts[8] = {sum.t0c0, sum.t0c1, sum.t1c0, sum.t1c1,
                              sum.t2c0, sum.t2c1, sum.t3c0, sum.t3c1};
    (void)second;
    for (int32_t i = 0; i < 8; i++) /* later passes must not count the bias again */
        at[i] = to->start != 0 ? parts[i] : at[i] + parts[i] - m[i % 2 - 2];
}

/* Put the accumulators of the patches [token, token + tokens), at most four, into sums: the bias, and one
 * pass for each sub-kernel, whose packed weights lie one pass after the other. `rows` holds the image from
 * `first_row` on. */
static inline void oplib_accumulate_patches(const uint8_t *rows, int32_t first_row, int32_t token,
                                            int32_t tokens, int32_t *sums,
                                            const oplib_patch_embed_passes_params *p)
{
    const int32_t side = p->kernel, length = side * side * p->in_chans;
    const int32_t channels = (p->linear.out_features + 1) / 2 * 2;
    char *const tile = (char *)(sums + 4 * channels);
    int8_t *const windows = (int8_t *)tile + 32 * oplib_quads(length);
    oplib_linear_s8_params pass = p->linear;
    oplib_patch_sums place = {sums, 1};
    pass.in_features = length;
    for (int32_t row = 0; row < p->patch_size; row += side) {
        for (int32_t column = 0; column < p->patch_size; column += side) {
            for (int32_t i = 0; i < tokens; i++) {
                const int32_t t = token + i;
                const int32_t top = t / p->grid_size * p->patch_size - p->pad_before + row;
                const int32_t left = t % p->grid_size * p->patch_size - p->pad_before + column;
                oplib_gather_window(rows, first_row, p->img_size, p->in_chans, p->pad, 0x80u, top,
                                    left, side, windows + i * length);
            }
            oplib_tile_pack_s8(windows, length, tokens, length, tile);
            oplib_each_block(tile, 0, channels, &pass, oplib_add_to_sums, &place);
            pass.weight += 4 * oplib_quads(length) * channels;
            place.start = 0;
        }
    }
}

/* The accumulator of a token and a channel. */
OPLIB_INLINE int32_t oplib_patch_sum(const int32_t *sums, int32_t token, int32_t channel)
{
    return sums[(channel & ~1) * 4 + 2 * token + (channel & 1)];
}

#endif
