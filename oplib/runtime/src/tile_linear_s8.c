/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

typedef struct {
    int8_t *y;
    oplib_tile_rows at;
    int32_t zero_point;
    const int8_t *table;
} rows_s8;

OPLIB_INLINE void write(oplib_block_4x2 sum, const int32_t *m, int32_t channel, int32_t second,
                        const rows_s8 *to, int by_table, const int8_t *middle)
{
    const int32_t m0 = m[0], m1 = m[1], z = to->zero_point;
    int8_t *y = to->y + channel;
    y[second] = (int8_t)oplib_finish(sum.t0c1, m1, z, by_table, middle);
    y[0] = (int8_t)oplib_finish(sum.t0c0, m0, z, by_table, middle);
    int8_t *next = y + to->at.t1;
    next[second] = (int8_t)oplib_finish(sum.t1c1, m1, z, by_table, middle);
    next[0] = (int8_t)oplib_finish(sum.t1c0, m0, z, by_table, middle);
    next = y + to->at.t2;
    next[second] = (int8_t)oplib_finish(sum.t2c1, m1, z, by_table, middle);
    next[0] = (int8_t)oplib_finish(sum.t2c0, m0, z, by_table, middle);
    next = y + to->at.t3;
    next[second] = (int8_t)oplib_finish(sum.t3c1, m1, z, by_table, middle);
    next[0] = (int8_t)oplib_finish(sum.t3c0, m0, z, by_table, middle);
}

OPLIB_INLINE void write_rows(oplib_block_4x2 sum, const int32_t *m, int32_t channel, int32_t second,
                             const void *place)
{
    write(sum, m, channel, second, place, 0, 0);
}

OPLIB_INLINE void write_rows_by_table(oplib_block_4x2 sum, const int32_t *m, int32_t channel,
                                      int32_t second, const void *place)
{
    const rows_s8 *to = place;
    const int8_t *middle = to->table + 128;
    OPLIB_OPAQUE(middle);
    write(sum, m, channel, second, to, 1, middle);
}

OPLIB_MICRO_KERNEL OPLIB_FAST(oplib_tile_linear_s8)
void oplib_tile_linear_s8(const void *tile, int8_t *y, int32_t stride, int32_t tokens,
                          int32_t first, int32_t count, const oplib_linear_s8_params *p)
{
    const rows_s8 place = {y, oplib_rows(stride, tokens), p->zero_point, p->table};
    if (p->table == 0)
        oplib_each_block(tile, first, count, p, write_rows, &place);
    else
        oplib_each_block(tile, first, count, p, write_rows_by_table, &place);
}
