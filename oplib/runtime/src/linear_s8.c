/* SPDX-License-Identifier: Apache-2.0 */
#include "dot_s8.h"
#include "tile.h"

static int8_t requantize_channel(int32_t acc, int32_t multiplier,
                                 const oplib_linear_s8_params *params)
{
    const int8_t value = oplib_requantize(acc, multiplier, params->zero_point);
    return params->table == NULL ? value : params->table[value + 128];
}

/* Compute two rows; the second may repeat the first. `second` is 0 for the padding after an odd
 * last channel. */
static void multiply_two_rows(const uint8_t *x0, const uint8_t *x1, int8_t *y0, int8_t *y1,
                              const oplib_linear_s8_params *params)
{
    const int32_t quads = oplib_quads(params->in_features);
    const int8_t *weight = params->weight;
    const int32_t *requant = params->requant;
    for (int32_t o = 0; o < params->out_features;
         o += 2, weight += OPLIB_WEIGHT_QUAD_BYTES * quads, requant += 4) {
        const oplib_block_2x2 start = {requant[0], requant[1], requant[0], requant[1]};
        const oplib_block_2x2 sum = oplib_product_2x2(x0, x1, weight, params->in_features, start);
        const int32_t second = o + 1 < params->out_features;
        y0[o + second] = requantize_channel(sum.t0c1, requant[3], params);
        y0[o] = requantize_channel(sum.t0c0, requant[2], params);
        y1[o + second] = requantize_channel(sum.t1c1, requant[3], params);
        y1[o] = requantize_channel(sum.t1c0, requant[2], params);
    }
}

void oplib_linear_s8(const int8_t *x, int8_t *y, void *scratch, int32_t tokens,
                     const oplib_linear_s8_params *params)
{
    const int32_t in = params->in_features, out = params->out_features;
    if (scratch == NULL) {
        for (int32_t t = 0; t < tokens; t += 2) {
            const int32_t next = t + 1 < tokens;
            const uint8_t *row = (const uint8_t *)x + t * in;
            multiply_two_rows(row, row + next * in, y + t * out, y + (t + next) * out, params);
        }
        return;
    }
    const int32_t tiles = oplib_quads(tokens);
    for (int32_t i = 0; i < tiles;
         i++) { /* backwards if rows of y are longer, because y may be x */
        const int32_t t = OPLIB_TILE_TOKENS * (out > in ? tiles - 1 - i : i);
        const int32_t rows = oplib_tile_tokens(t, tokens);
        oplib_tile_pack_s8(x + t * in, in, rows, in, scratch);
        oplib_tile_linear_s8(scratch, y + t * out, out, rows, 0, out, params);
    }
}
