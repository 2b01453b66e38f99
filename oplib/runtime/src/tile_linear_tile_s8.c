/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

typedef struct {
    int16_t *tile;
    int32_t zero_point;
    const int8_t *table;
} tile_s8;

/* A tile has room for the padding behind an odd last channel. */
OPLIB_INLINE void write(oplib_block_4x2 sum, const int32_t *m, int32_t channel, const tile_s8 *to,
                        int by_table, const int8_t *middle)
{
    const int32_t m0 = m[0], m1 = m[1], z = to->zero_point;
    int16_t *y = to->tile + oplib_tile_channel(channel);
    y[0] = (int16_t)oplib_finish(sum.t0c0, m0, z, by_table, middle);
    y[2] = (int16_t)oplib_finish(sum.t1c0, m0, z, by_table, middle);
    y[4] = (int16_t)oplib_finish(sum.t2c0, m0, z, by_table, middle);
    y[6] = (int16_t)oplib_finish(sum.t3c0, m0, z, by_table, middle);
    y[8] = (int16_t)oplib_finish(sum.t0c1, m1, z, by_table, middle);
    y[10] = (int16_t)oplib_finish(sum.t1c1, m1, z, by_table, middle);
    y[12] = (int16_t)oplib_finish(sum.t2c1, m1, z, by_table, middle);
    y[14] = (int16_t)oplib_finish(sum.t3c1, m1, z, by_table, middle);
}

OPLIB_INLINE void write_tile(oplib_block_4x2 sum, const int32_t *m, int32_t channel, int32_t second,
                             const void *place)
{
    (void)second;
    write(sum, m, channel, place, 0, 0);
}

OPLIB_INLINE void write_tile_by_table(oplib_block_4x2 sum, const int32_t *m, int32_t channel,
                                      int32_t second, const void *place)
{
    const tile_s8 *to = place;
    const int8_t *middle = to->table + 128;
    (void)second;
    OPLIB_OPAQUE(middle);
    write(sum, m, channel, to, 1, middle);
}

OPLIB_MICRO_KERNEL OPLIB_FAST(oplib_tile_linear_tile_s8)
void oplib_tile_linear_tile_s8(const void *tile, void *out, int32_t first, int32_t count,
                               const oplib_linear_s8_params *p)
{
    const tile_s8 place = {out, p->zero_point, p->table};
    if (p->table == 0)
        oplib_each_block(tile, first, count, p, write_tile, &place);
    else
        oplib_each_block(tile, first, count, p, write_tile_by_table, &place);
}
