/* SPDX-License-Identifier: Apache-2.0 */
#include "dot_s8.h"
#include "tile.h"

static int8_t finish(int32_t acc, int32_t m, const oplib_linear_s8_params *p)
{
    const int8_t value = oplib_requantize(acc, m, p->zero_point);
    return p->table == 0 ? value : p->table[value + 128];
}

/* Two rows; the second may repeat the first, and channel `second` behind an odd last one the last. */
static void two_rows(const uint8_t *x0, const uint8_t *x1, int8_t *y0, int8_t *y1,
                     const oplib_linear_s8_params *p)
{
    const int32_t quads = oplib_quads(p->in_features);
    const int8_t *w = p->weight;
    const int32_t *r = p->requant;
    for (int32_t o = 0; o < p->out_features; o += 2, w += 8 * quads, r += 4) {
        const oplib_block_2x2 start = {r[0], r[1], r[0], r[1]};
        const oplib_block_2x2 sum = oplib_product_2x2(x0, x1, w, p->in_features, 0u, start);
        const int32_t second = o + 1 < p->out_features;
        y0[o + second] = finish(sum.t0c1, r[3], p);
        y0[o] = finish(sum.t0c0, r[2], p);
        y1[o + second] = finish(sum.t1c1, r[3], p);
        y1[o] = finish(sum.t1c0, r[2], p);
    }
}

void oplib_linear_s8(const int8_t *x, int8_t *y, void *scratch, int32_t tokens,
                     const oplib_linear_s8_params *p)
{
    const int32_t in = p->in_features, out = p->out_features;
    if (scratch == 0) {
        for (int32_t t = 0; t < tokens; t += 2) {
            const int32_t next = t + 1 < tokens;
            const uint8_t *row = (const uint8_t *)x + t * in;
            two_rows(row, row + next * in, y + t * out, y + (t + next) * out, p);
        }
        return;
    }
    const int32_t tiles = oplib_quads(tokens);
    for (int32_t i = 0; i < tiles; i++) { /* from the end where y's rows are longer: y may be x */
        const int32_t t = 4 * (out > in ? tiles - 1 - i : i);
        const int32_t rows = oplib_tile_tokens(t, tokens);
        oplib_tile_pack_s8(x + t * in, in, rows, in, scratch);
        oplib_tile_linear_s8(scratch, y + t * out, out, rows, 0, out, p);
    }
}
