/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

/* A tile has room for the padding after an odd last channel. */
OPLIB_INLINE void write_tile(oplib_block_4x2 sum, const int32_t *m, int32_t channel, int32_t second,
                             int32_t place, const oplib_tile_rows *at, const void *target)
{
    oplib_memory_s16 *const panel = *(oplib_memory_s16 *const *)target;
    oplib_memory_s16 *y = panel + place + oplib_tile_channel(channel);
    (void)at;
    (void)second;
    y[0] = oplib_requantize_s16(sum.t0c0, m[0]);
    y[2] = oplib_requantize_s16(sum.t1c0, m[0]);
    y[4] = oplib_requantize_s16(sum.t2c0, m[0]);
    y[6] = oplib_requantize_s16(sum.t3c0, m[0]);
    y[8] = oplib_requantize_s16(sum.t0c1, m[1]);
    y[10] = oplib_requantize_s16(sum.t1c1, m[1]);
    y[12] = oplib_requantize_s16(sum.t2c1, m[1]);
    y[14] = oplib_requantize_s16(sum.t3c1, m[1]);
}

OPLIB_MICRO_KERNEL
void oplib_tile_linear_tile_s16(const void *panel, void *out, int32_t tokens, int32_t first,
                                int32_t count, const oplib_linear_s8_params *params)
{
    oplib_memory_s16 *const target = out;
    oplib_each_block(panel, tokens, OPLIB_TILE_TOKENS * oplib_padded(count), first, count, params,
                     write_tile, NULL, &target);
}
