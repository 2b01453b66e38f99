/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file patch_passes.h
 * @brief Patch embedding in passes of small kernels (MCUFormer, section 3.2, patch embedding
 * decomposition).
 */
#ifndef OPLIB_PATCH_PASSES_H
#define OPLIB_PATCH_PASSES_H

#include "patch.h"
#include "tile.h"

typedef struct {
    oplib_memory_s32 *sums; /* (channels / 2, 4 tokens, 2 channels) */
    int32_t start;          /* whether this pass is the first, which sets the sums */
} oplib_patch_sums;

OPLIB_INLINE void oplib_add_to_sums(oplib_block_4x2 sum, const int32_t *m, int32_t channel,
                                    int32_t second, const void *target)
{
    const oplib_patch_sums *to = target;
    oplib_memory_s32 *at = to->sums + OPLIB_TILE_TOKENS * channel;
    const int32_t parts[8] = {sum.t0c0, sum.t0c1, sum.t1c0, sum.t1c1,
                              sum.t2c0, sum.t2c1, sum.t3c0, sum.t3c1};
    (void)second;
    for (int32_t i = 0; i < 8; i++) /* later passes must not count the bias again */
        at[i] = to->start != 0 ? parts[i] : at[i] + parts[i] - m[i % 2 - 2];
}

/* Compute the accumulators of the patches [token, token + tokens), at most four: the bias plus one
 * pass per small kernel; the kernels' packed weights are consecutive. `rows` holds the image from
 * `first_row` on. */
static inline void oplib_accumulate_patches(const uint8_t *rows, int32_t first_row, int32_t token,
                                            int32_t tokens, void *scratch,
                                            const oplib_patch_passes *passes)
{
    const int32_t side = passes->kernel, length = side * side * passes->in_chans;
    const int32_t channels = oplib_even(passes->linear.out_features);
    oplib_memory_s32 *const sums = scratch;
    char *const tile = (char *)(sums + OPLIB_TILE_TOKENS * channels);
    int8_t *const windows = (int8_t *)tile + oplib_tile_bytes(length);
    oplib_linear_s8_params pass = passes->linear;
    oplib_patch_sums target = {sums, 1};
    pass.in_features = length;
    for (int32_t row = 0; row < passes->patch_size; row += side) {
        for (int32_t column = 0; column < passes->patch_size; column += side) {
            for (int32_t i = 0; i < tokens; i++) {
                const int32_t t = token + i, before = passes->pad_before;
                const int32_t top = t / passes->grid_size * passes->patch_size - before + row;
                const int32_t left = t % passes->grid_size * passes->patch_size - before + column;
                oplib_gather_window(rows, first_row, passes->img_size, passes->in_chans,
                                    passes->pad, OPLIB_FLIP_PIXEL, top, left, side,
                                    windows + i * length);
            }
            oplib_tile_pack_s8(windows, length, tokens, length, tile);
            oplib_each_block(tile, 0, channels, &pass, oplib_add_to_sums, &target);
            pass.weight += oplib_padded(length) * channels;
            target.start = 0;
        }
    }
}

/* The accumulator of a token and a channel. */
OPLIB_INLINE int32_t oplib_patch_sum(const void *sums, int32_t token, int32_t channel)
{
    return ((const oplib_memory_s32 *)sums)[(channel & ~1) * 4 + 2 * token + (channel & 1)];
}

/* The multiplier of a channel. */
OPLIB_INLINE int32_t oplib_patch_multiplier(const oplib_linear_s8_params *linear, int32_t channel)
{
    return linear->requant[(channel & ~1) * 2 + 2 + (channel & 1)];
}

#endif
