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
    oplib_memory_s32 *sums; /* (tiles, channels / 2, 4 tokens, 2 channels) */
    int32_t start;          /* whether this pass is the first, which sets the sums */
} oplib_patch_sums;

OPLIB_INLINE void oplib_add_to_sums(oplib_block_4x2 sum, const int32_t *m, int32_t channel,
                                    int32_t second, int32_t place, const oplib_tile_rows *at,
                                    const void *target)
{
    const oplib_patch_sums *to = target;
    oplib_memory_s32 *const total = to->sums + place + OPLIB_TILE_TOKENS * channel;
    const int32_t parts[8] = {sum.t0c0, sum.t0c1, sum.t1c0, sum.t1c1,
                              sum.t2c0, sum.t2c1, sum.t3c0, sum.t3c1};
    (void)second;
    (void)at;
    for (int32_t i = 0; i < 8; i++) /* later passes must not count the bias again */
        total[i] = to->start != 0 ? parts[i] : total[i] + parts[i] - m[i % 2 - 2];
}

/* Gather and pack one pass of the patches [token, token + tokens), whose window begins at (row,
 * column) of each patch, into a panel. windows: four windows */
static inline void oplib_pack_pass(const uint8_t *rows, int32_t first_row, int32_t token,
                                   int32_t tokens, int32_t row, int32_t column, int8_t *windows,
                                   char *panel, const oplib_patch_passes *passes)
{
    const int32_t side = passes->kernel, length = side * side * passes->in_chans;
    const int32_t before = passes->pad_before, size = passes->patch_size;
    for (int32_t first = 0; first < tokens; first += OPLIB_TILE_TOKENS) {
        const int32_t now = oplib_tile_tokens(first, tokens);
        for (int32_t i = 0; i < now; i++) {
            const int32_t t = token + first + i;
            const int32_t top = t / passes->grid_size * size - before + row;
            const int32_t left = t % passes->grid_size * size - before + column;
            oplib_gather_window(rows, first_row, passes->img_size, passes->in_chans, passes->pad,
                                top, left, side, windows + i * length);
        }
        oplib_tile_pack_s8(windows, length, now, length, panel);
        panel += oplib_tile_bytes(length);
    }
}

/* Compute the accumulators of the patches [token, token + tokens), a panel: the bias plus one pass
 * per small kernel; the kernels' packed weights are consecutive. `rows` holds the image from
 * `first_row` on. */
static inline void oplib_accumulate_patches(const uint8_t *rows, int32_t first_row, int32_t token,
                                            int32_t tokens, void *scratch,
                                            const oplib_patch_passes *passes)
{
    const int32_t side = passes->kernel, length = side * side * passes->in_chans;
    const int32_t channels = oplib_even(passes->linear.out_features);
    oplib_memory_s32 *const sums = scratch;
    char *const panel = (char *)(sums + passes->panel * channels);
    int8_t *const windows = (int8_t *)panel + oplib_panel_bytes(passes->panel, length);
    oplib_linear_s8_params pass = passes->linear;
    oplib_patch_sums target = {sums, 1};
    pass.in_features = length;
    for (int32_t row = 0; row < passes->patch_size; row += side) {
        for (int32_t column = 0; column < passes->patch_size; column += side) {
            oplib_pack_pass(rows, first_row, token, tokens, row, column, windows, panel, passes);
            oplib_each_block(panel, tokens, OPLIB_TILE_TOKENS * channels, 0, channels, &pass,
                             oplib_add_to_sums, NULL, &target);
            pass.weight += oplib_padded(length) * channels;
            target.start = 0;
        }
    }
}

/* The accumulator of a token of the panel and a channel. */
OPLIB_INLINE int32_t oplib_patch_sum(const void *sums, int32_t token, int32_t channel,
                                     const oplib_linear_s8_params *linear)
{
    const oplib_memory_s32 *const tile =
        (const oplib_memory_s32 *)sums + (token & ~3) * oplib_even(linear->out_features);
    return tile[(channel & ~1) * OPLIB_TILE_TOKENS + 2 * (token & 3) + (channel & 1)];
}

/* The multiplier of a channel. */
OPLIB_INLINE int32_t oplib_patch_multiplier(const oplib_linear_s8_params *linear, int32_t channel)
{
    return linear->requant[(channel & ~1) * 2 + 2 + (channel & 1)];
}

#endif
