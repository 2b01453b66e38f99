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
    const int32_t t0c1 = oplib_requantize_mapped(sum.t0c1, m1, z, by_table, table);
    const int32_t t0c0 = oplib_requantize_mapped(sum.t0c0, m0, z, by_table, table);
    const int32_t t1c1 = oplib_requantize_mapped(sum.t1c1, m1, z, by_table, table);
    const int32_t t1c0 = oplib_requantize_mapped(sum.t1c0, m0, z, by_table, table);
    const int32_t t2c1 = oplib_requantize_mapped(sum.t2c1, m1, z, by_table, table);
    const int32_t t2c0 = oplib_requantize_mapped(sum.t2c0, m0, z, by_table, table);
    const int32_t t3c1 = oplib_requantize_mapped(sum.t3c1, m1, z, by_table, table);
    const int32_t t3c0 = oplib_requantize_mapped(sum.t3c0, m0, z, by_table, table);
    int8_t *const y0 = to->y + place + channel, *const next = y0 + second;
    next[0] = (int8_t)t0c1;
    y0[0] = (int8_t)t0c0;
    next[at->t1] = (int8_t)t1c1;
    y0[at->t1] = (int8_t)t1c0;
    next[at->t2] = (int8_t)t2c1;
    y0[at->t2] = (int8_t)t2c0;
    next[at->t3] = (int8_t)t3c1;
    y0[at->t3] = (int8_t)t3c0;
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
OPLIB_LOOP void linear(const void *panel, int32_t tokens, int32_t step, int32_t first,
                       int32_t count, const oplib_linear_s8_params *params,
                       const oplib_panel_rows *rows, const rows_s8 *target)
{
    oplib_each_block(panel, tokens, step, first, count, params, write_rows, rows, target);
}

OPLIB_FAST(oplib_tile_linear_s8)
OPLIB_MICRO_KERNEL
OPLIB_LOOP void linear_by_table(const void *panel, int32_t tokens, int32_t step, int32_t first,
                                int32_t count, const oplib_linear_s8_params *params,
                                const oplib_panel_rows *rows, const rows_s8 *target)
{
    oplib_each_block(panel, tokens, step, first, count, params, write_rows_by_table, rows, target);
}

OPLIB_FAST(oplib_tile_linear_s8)
OPLIB_MICRO_KERNEL
void oplib_tile_linear_s8(const void *panel, int8_t *y, int32_t stride, int32_t tokens,
                          int32_t first, int32_t count, const oplib_linear_s8_params *params)
{
    const oplib_panel_rows rows = oplib_rows_of_panel(stride, tokens);
    const rows_s8 target = {y, params->zero_point, params->table};
    const int32_t step = OPLIB_TILE_TOKENS * stride;
    if (params->table == NULL)
        linear(panel, tokens, step, first, count, params, &rows, &target);
    else
        linear_by_table(panel, tokens, step, first, count, params, &rows, &target);
}
