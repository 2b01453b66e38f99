/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

typedef struct {
    int8_t *y;
    int32_t zero_point;
    const int8_t *table;
} rows_s8;

OPLIB_INLINE void write_channels(oplib_block_4x2 sum, const int32_t *m, int32_t channel,
                                 int32_t second, int32_t place, const oplib_tile_rows *at,
                                 const rows_s8 *to, int by_table, const int8_t *table)
{
    const int32_t m0 = m[0], m1 = m[1], z = to->zero_point;
    int8_t *y = to->y + place + channel;
    y[second] = (int8_t)oplib_requantize_mapped(sum.t0c1, m1, z, by_table, table);
    y[0] = (int8_t)oplib_requantize_mapped(sum.t0c0, m0, z, by_table, table);
    int8_t *next = y + at->t1;
    next[second] = (int8_t)oplib_requantize_mapped(sum.t1c1, m1, z, by_table, table);
    next[0] = (int8_t)oplib_requantize_mapped(sum.t1c0, m0, z, by_table, table);
    next = y + at->t2;
    next[second] = (int8_t)oplib_requantize_mapped(sum.t2c1, m1, z, by_table, table);
    next[0] = (int8_t)oplib_requantize_mapped(sum.t2c0, m0, z, by_table, table);
    next = y + at->t3;
    next[second] = (int8_t)oplib_requantize_mapped(sum.t3c1, m1, z, by_table, table);
    next[0] = (int8_t)oplib_requantize_mapped(sum.t3c0, m0, z, by_table, table);
}

OPLIB_INLINE void write_rows(oplib_block_4x2 sum, const int32_t *m, int32_t channel, int32_t second,
                             int32_t place, const oplib_tile_rows *at, const void *target)
{
    write_channels(sum, m, channel, second, place, at, target, 0, NULL);
}

OPLIB_INLINE void write_rows_by_table(oplib_block_4x2 sum, const int32_t *m, int32_t channel,
                                      int32_t second, int32_t place, const oplib_tile_rows *at,
                                      const void *target)
{
    const rows_s8 *to = target;
    const int8_t *middle = to->table + 128;
    OPLIB_OPAQUE(middle);
    write_channels(sum, m, channel, second, place, at, to, 1, middle);
}

OPLIB_FAST(oplib_tile_linear_s8)
OPLIB_MICRO_KERNEL
void oplib_tile_linear_s8(const void *panel, int8_t *y, int32_t stride, int32_t tokens,
                          int32_t first, int32_t count, const oplib_linear_s8_params *params)
{
    const oplib_panel_rows rows = oplib_rows_of_panel(stride, tokens);
    const rows_s8 target = {y, params->zero_point, params->table};
    if (params->table == NULL)
        oplib_each_block(panel, tokens, OPLIB_TILE_TOKENS * stride, first, count, params,
                         write_rows, &rows, &target);
    else
        oplib_each_block(panel, tokens, OPLIB_TILE_TOKENS * stride, first, count, params,
                         write_rows_by_table, &rows, &target);
}
