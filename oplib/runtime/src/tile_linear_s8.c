/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

typedef struct {
    int8_t *y;
    oplib_tile_rows at;
    int32_t zero_point;
    const int8_t *table;
} rows_s8;

OPLIB_INLINE void write_rows(oplib_block_4x2 sum, const int32_t *m, int32_t channel, int32_t second,
                             const void *place)
{
    const rows_s8 *to = place;
    const int32_t m0 = m[0], m1 = m[1], z = to->zero_point;
    int8_t *y = to->y + channel;
    y[second] = oplib_requantize(sum.t0c1, m1, z);
    y[0] = oplib_requantize(sum.t0c0, m0, z);
    int8_t *next = y + to->at.t1;
    next[second] = oplib_requantize(sum.t1c1, m1, z);
    next[0] = oplib_requantize(sum.t1c0, m0, z);
    next = y + to->at.t2;
    next[second] = oplib_requantize(sum.t2c1, m1, z);
    next[0] = oplib_requantize(sum.t2c0, m0, z);
    next = y + to->at.t3;
    next[second] = oplib_requantize(sum.t3c1, m1, z);
    next[0] = oplib_requantize(sum.t3c0, m0, z);
}

OPLIB_INLINE void write_rows_by_table(oplib_block_4x2 sum, const int32_t *m, int32_t channel,
                                      int32_t second, const void *place)
{
    const rows_s8 *to = place;
    const int32_t m0 = m[0], m1 = m[1], z = to->zero_point;
    const int8_t *table = to->table + 128;
    OPLIB_OPAQUE(table);
    int8_t *y = to->y + channel;
    y[second] = table[oplib_requantize_word(sum.t0c1, m1, z)];
    y[0] = table[oplib_requantize_word(sum.t0c0, m0, z)];
    int8_t *next = y + to->at.t1;
    next[second] = table[oplib_requantize_word(sum.t1c1, m1, z)];
    next[0] = table[oplib_requantize_word(sum.t1c0, m0, z)];
    next = y + to->at.t2;
    next[second] = table[oplib_requantize_word(sum.t2c1, m1, z)];
    next[0] = table[oplib_requantize_word(sum.t2c0, m0, z)];
    next = y + to->at.t3;
    next[second] = table[oplib_requantize_word(sum.t3c1, m1, z)];
    next[0] = table[oplib_requantize_word(sum.t3c0, m0, z)];
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
