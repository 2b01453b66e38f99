/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

typedef struct {
    oplib_memory_s16 *y;
} rows_s16;

OPLIB_INLINE void write_rows(oplib_block_4x2 sum, const int32_t *m, int32_t channel, int32_t second,
                             int32_t place, const oplib_tile_rows *at, const void *target)
{
    const rows_s16 *to = target;
    oplib_memory_s16 *y = to->y + place + channel;
    y[second] = oplib_requantize_s16(sum.t0c1, m[1]);
    y[0] = oplib_requantize_s16(sum.t0c0, m[0]);
    y[at->t1 + second] = oplib_requantize_s16(sum.t1c1, m[1]);
    y[at->t1] = oplib_requantize_s16(sum.t1c0, m[0]);
    y[at->t2 + second] = oplib_requantize_s16(sum.t2c1, m[1]);
    y[at->t2] = oplib_requantize_s16(sum.t2c0, m[0]);
    y[at->t3 + second] = oplib_requantize_s16(sum.t3c1, m[1]);
    y[at->t3] = oplib_requantize_s16(sum.t3c0, m[0]);
}

OPLIB_MICRO_KERNEL
void oplib_linear_s8_s16(const int8_t *x, int16_t *y, void *scratch, int32_t tokens, int32_t panel,
                         const oplib_linear_s8_params *params)
{
    const int32_t in = params->in_features, out = params->out_features;
    for (int32_t t = 0; t < tokens; t += panel) {
        const int32_t rows = oplib_panel_tokens(t, tokens, panel);
        const oplib_panel_rows at = oplib_rows_of_panel(out, rows);
        const rows_s16 target = {y + t * out};
        oplib_tile_pack_s8(x + t * in, in, rows, in, scratch);
        oplib_each_block(scratch, rows, OPLIB_TILE_TOKENS * out, 0, out, params, write_rows, &at,
                         &target);
    }
}
