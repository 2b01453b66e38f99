/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

typedef struct {
    oplib_memory_s16 *panel;
    int32_t zero_point;
    const int8_t *table;
} panel_s8;

/* A tile has room for the padding after an odd last channel. */
OPLIB_INLINE void write_channels(oplib_block_4x2 sum, const int32_t *m, int32_t channel,
                                 int32_t place, const panel_s8 *to, int by_table,
                                 const int8_t *table)
{
    const int32_t m0 = m[0], m1 = m[1], z = to->zero_point;
    oplib_memory_s16 *y = to->panel + place + oplib_tile_channel(channel);
    y[0] = (int16_t)oplib_requantize_mapped(sum.t0c0, m0, z, by_table, table);
    y[2] = (int16_t)oplib_requantize_mapped(sum.t1c0, m0, z, by_table, table);
    y[4] = (int16_t)oplib_requantize_mapped(sum.t2c0, m0, z, by_table, table);
    y[6] = (int16_t)oplib_requantize_mapped(sum.t3c0, m0, z, by_table, table);
    y[8] = (int16_t)oplib_requantize_mapped(sum.t0c1, m1, z, by_table, table);
    y[10] = (int16_t)oplib_requantize_mapped(sum.t1c1, m1, z, by_table, table);
    y[12] = (int16_t)oplib_requantize_mapped(sum.t2c1, m1, z, by_table, table);
    y[14] = (int16_t)oplib_requantize_mapped(sum.t3c1, m1, z, by_table, table);
}

OPLIB_INLINE void write_tile(oplib_block_4x2 sum, const int32_t *m, int32_t channel, int32_t second,
                             int32_t place, const oplib_tile_rows *at, const void *target)
{
    (void)at;
    (void)second;
    write_channels(sum, m, channel, place, target, 0, NULL);
}

OPLIB_INLINE void write_tile_by_table(oplib_block_4x2 sum, const int32_t *m, int32_t channel,
                                      int32_t second, int32_t place, const oplib_tile_rows *at,
                                      const void *target)
{
    const panel_s8 *to = target;
    const int8_t *middle = to->table + 128;
    (void)at;
    (void)second;
    OPLIB_OPAQUE(middle);
    write_channels(sum, m, channel, place, to, 1, middle);
}

OPLIB_FAST(oplib_tile_linear_tile_s8)
OPLIB_MICRO_KERNEL
void oplib_tile_linear_tile_s8(const void *panel, void *out, int32_t tokens, int32_t first,
                               int32_t count, const oplib_linear_s8_params *params)
{
    const panel_s8 target = {out, params->zero_point, params->table};
    if (params->table == NULL)
        oplib_each_block(panel, tokens, OPLIB_TILE_TOKENS * oplib_padded(count), first, count,
                         params, write_tile, NULL, &target);
    else
        oplib_each_block(panel, tokens, OPLIB_TILE_TOKENS * oplib_padded(count), first, count,
                         params, write_tile_by_table, NULL, &target);
}
