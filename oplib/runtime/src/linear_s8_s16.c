/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

typedef struct {
    int16_t *y;
    oplib_tile_rows at;
} rows_s16;

OPLIB_INLINE int16_t finish(int32_t acc, int32_t m)
{
    return oplib_saturate_s16(oplib_multiply_s16(acc, m));
}

OPLIB_INLINE void write_rows(oplib_block_4x2 sum, const int32_t *m, int32_t channel, int32_t second,
                             const void *place)
{
    const rows_s16 *to = place;
    int16_t *y = to->y + channel;
    y[second] = finish(sum.t0c1, m[1]);
    y[0] = finish(sum.t0c0, m[0]);
    y[to->at.t1 + second] = finish(sum.t1c1, m[1]);
    y[to->at.t1] = finish(sum.t1c0, m[0]);
    y[to->at.t2 + second] = finish(sum.t2c1, m[1]);
    y[to->at.t2] = finish(sum.t2c0, m[0]);
    y[to->at.t3 + second] = finish(sum.t3c1, m[1]);
    y[to->at.t3] = finish(sum.t3c0, m[0]);
}

OPLIB_MICRO_KERNEL
void oplib_linear_s8_s16(const int8_t *x, int16_t *y, void *scratch, int32_t tokens,
                         const oplib_linear_s8_params *p)
{
    const int32_t in = p->in_features, out = p->out_features;
    for (int32_t t = 0; t < tokens; t += 4) {
        const int32_t rows = oplib_tile_tokens(t, tokens);
        const rows_s16 place = {y + t * out, oplib_rows(out, rows)};
        oplib_tile_pack_s8(x + t * in, in, rows, in, scratch);
        oplib_each_block(scratch, 0, out, p, write_rows, &place);
    }
}
