/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

typedef struct {
    int8_t *y;
    const int8_t *position; /* row of the first token, or NULL */
    int32_t zero_point;
} embedded_tokens;

/* Store two channels of one token. offset0, offset1: zero point plus position of each channel. */
OPLIB_INLINE void write_token(int8_t *y, int32_t second, int32_t acc0, int32_t acc1,
                              const int32_t *multipliers, int32_t offset0, int32_t offset1)
{
    y[second] = oplib_requantize(acc1, multipliers[1], offset1);
    y[0] = oplib_requantize(acc0, multipliers[0], offset0);
}

OPLIB_INLINE void write_embedded(oplib_block_4x2 sum, const int32_t *m, int32_t channel,
                                 int32_t second, int32_t place, const oplib_tile_rows *at,
                                 const void *target)
{
    const embedded_tokens *to = target;
    const int32_t from = place + channel;
    const int32_t z = to->zero_point;
    int8_t *y = to->y + from;
    if (to->position == NULL) {
        write_token(y, second, sum.t0c0, sum.t0c1, m, z, z);
        write_token(y + at->t1, second, sum.t1c0, sum.t1c1, m, z, z);
        write_token(y + at->t2, second, sum.t2c0, sum.t2c1, m, z, z);
        write_token(y + at->t3, second, sum.t3c0, sum.t3c1, m, z, z);
        return;
    }
    const int8_t *first = to->position + from, *next = first + at->t1;
    write_token(y, second, sum.t0c0, sum.t0c1, m, z + first[0], z + first[second]);
    write_token(y + at->t1, second, sum.t1c0, sum.t1c1, m, z + next[0], z + next[second]);
    next = first + at->t2;
    write_token(y + at->t2, second, sum.t2c0, sum.t2c1, m, z + next[0], z + next[second]);
    next = first + at->t3;
    write_token(y + at->t3, second, sum.t3c0, sum.t3c1, m, z + next[0], z + next[second]);
}

OPLIB_FAST(oplib_tile_embed_s8)
OPLIB_MICRO_KERNEL
void oplib_tile_embed_s8(const void *panel, int8_t *y, int32_t tokens, const int8_t *position,
                         const oplib_linear_s8_params *params)
{
    const oplib_panel_rows rows = oplib_rows_of_panel(params->out_features, tokens);
    const embedded_tokens target = {y, position, params->zero_point};
    oplib_each_block(panel, tokens, OPLIB_TILE_TOKENS * params->out_features, 0,
                     params->out_features, params, write_embedded, &rows, &target);
}
