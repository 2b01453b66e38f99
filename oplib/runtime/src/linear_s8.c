/* SPDX-License-Identifier: Apache-2.0 */
#include "dot_s8.h"
#include "tile.h"

static int8_t requantize_channel(int32_t acc, int32_t multiplier,
                                 const oplib_linear_s8_params *params)
{
    const int8_t value = oplib_requantize(acc, multiplier, params->zero_point);
    return params->table == NULL ? value : params->table[value + 128];
}

/* Each pair of channels for all rows, which are read in pairs; a single last row repeats itself.
 * `second` is 0 for the padding after an odd last channel. */
static void multiply_rows_in_pairs(const int8_t *x, int8_t *y, int32_t tokens,
                                   const oplib_linear_s8_params *params)
{
    const int32_t in = params->in_features, out = params->out_features;
    const int8_t *weight = params->weight;
    const int32_t *requant = params->requant;
    for (int32_t o = 0; o < out; o += 2, requant += 4) {
        const oplib_block_2x2 start = {requant[0], requant[1], requant[0], requant[1]};
        const int32_t second = o + 1 < out;
        for (int32_t t = 0; t < tokens; t += 2) {
            const int32_t next = t + 1 < tokens;
            const uint8_t *row = (const uint8_t *)x + t * in;
            int8_t *y0 = y + t * out + o, *y1 = y0 + next * out;
            const oplib_block_2x2 sum = oplib_product_2x2(row, row + next * in, weight, in, start);
            y0[second] = requantize_channel(sum.t0c1, requant[3], params);
            y0[0] = requantize_channel(sum.t0c0, requant[2], params);
            y1[second] = requantize_channel(sum.t1c1, requant[3], params);
            y1[0] = requantize_channel(sum.t1c0, requant[2], params);
        }
        weight += OPLIB_WEIGHT_QUAD_BYTES * oplib_quads(in);
    }
}

void oplib_linear_s8(const int8_t *x, int8_t *y, void *scratch, int32_t tokens, int32_t panel,
                     const oplib_linear_s8_params *params)
{
    const int32_t in = params->in_features, out = params->out_features;
    if (scratch == NULL) {
        multiply_rows_in_pairs(x, y, tokens, params);
        return;
    }
    const int32_t panels = (tokens + panel - 1) / panel;
    for (int32_t i = 0; i < panels; i++) {
        /* backwards if rows of y are longer, because y may be x */
        const int32_t t = panel * (out > in ? panels - 1 - i : i);
        const int32_t rows = oplib_panel_tokens(t, tokens, panel);
        oplib_tile_pack_s8(x + t * in, in, rows, in, scratch);
        oplib_tile_linear_s8(scratch, y + t * out, out, rows, 0, out, params);
    }
}
