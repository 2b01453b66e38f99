/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

typedef struct {
    int8_t *y;
    int32_t zero_point;
    int32_t stream_multiplier, branch_multiplier, offset;
} residual_s8;

/* saturate8((x * stream_multiplier + requant(sum) * branch_multiplier + offset) >> 16) */
OPLIB_INLINE int8_t add_branch(int32_t x, int32_t sum, int32_t multiplier, const residual_s8 *to)
{
    const int32_t branch = oplib_requantize_word(sum, multiplier, to->zero_point);
    const uint32_t total = (uint32_t)x * (uint32_t)to->stream_multiplier +
                           (uint32_t)branch * (uint32_t)to->branch_multiplier +
                           (uint32_t)to->offset;
    return (int8_t)oplib_saturate_shifted_s8((int32_t)total, 16);
}

/* All values are read before any is written, because padding repeats other rows and channels. */
OPLIB_INLINE void add_rows(oplib_block_4x2 sum, const int32_t *m, int32_t channel, int32_t second,
                           int32_t place, const oplib_tile_rows *at, const void *target)
{
    const residual_s8 *to = target;
    const int32_t m0 = m[0], m1 = m[1];
    int8_t *y0 = to->y + place + channel;
    int8_t *y1 = y0 + at->t1, *y2 = y0 + at->t2, *y3 = y0 + at->t3;
    const int8_t t0c1 = add_branch(y0[second], sum.t0c1, m1, to);
    const int8_t t0c0 = add_branch(y0[0], sum.t0c0, m0, to);
    const int8_t t1c1 = add_branch(y1[second], sum.t1c1, m1, to);
    const int8_t t1c0 = add_branch(y1[0], sum.t1c0, m0, to);
    const int8_t t2c1 = add_branch(y2[second], sum.t2c1, m1, to);
    const int8_t t2c0 = add_branch(y2[0], sum.t2c0, m0, to);
    const int8_t t3c1 = add_branch(y3[second], sum.t3c1, m1, to);
    const int8_t t3c0 = add_branch(y3[0], sum.t3c0, m0, to);
    y0[second] = t0c1;
    y0[0] = t0c0;
    y1[second] = t1c1;
    y1[0] = t1c0;
    y2[second] = t2c1;
    y2[0] = t2c0;
    y3[second] = t3c1;
    y3[0] = t3c0;
}

OPLIB_FAST(oplib_tile_linear_add_s8)
OPLIB_MICRO_KERNEL
void oplib_tile_linear_add_s8(const void *panel, void *stream, int32_t stride, int32_t tokens,
                              const oplib_linear_s8_params *params, const void *add_params)
{
    const oplib_add_s8_params *const add = add_params;
    const oplib_panel_rows rows = oplib_rows_of_panel(stride, tokens);
    const residual_s8 target = {
        stream,
        params->zero_point,
        add->a_multiplier,
        add->b_multiplier,
        add->zero_point * 65536 + 32768 - add->a_zero_point * add->a_multiplier -
            add->b_zero_point * add->b_multiplier,
    };
    oplib_each_block(panel, tokens, OPLIB_TILE_TOKENS * stride, 0, params->out_features, params,
                     add_rows, &rows, &target);
}
