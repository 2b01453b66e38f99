/* SPDX-License-Identifier: Apache-2.0 */
#include "dot_s8.h"
#include "oplib.h"
#include "requant.h"

/* Two rows of x; the second may repeat the first, which makes the odd last token no special case. */
static void linear_rows(const int8_t *x0, const int8_t *x1, int8_t *y0, int8_t *y1,
                        const oplib_linear_s8_params *p)
{
    const int32_t n = p->in_features, z = p->zero_point;
    const int8_t *w = p->weight;
    int32_t o = 0;
    for (; o + 1 < p->out_features; o += 2, w += 2 * n) {
        oplib_block_2x2 acc = {p->bias[o], p->bias[o + 1], p->bias[o], p->bias[o + 1]};
        acc = oplib_dot_2x2_s8(x0, x1, w, w + n, n, acc);
        y0[o] = oplib_requantize(acc.t0c0, p->multiplier[o], z);
        y0[o + 1] = oplib_requantize(acc.t0c1, p->multiplier[o + 1], z);
        y1[o] = oplib_requantize(acc.t1c0, p->multiplier[o], z);
        y1[o + 1] = oplib_requantize(acc.t1c1, p->multiplier[o + 1], z);
    }
    if (o < p->out_features) {
        y0[o] = oplib_requantize(p->bias[o] + oplib_dot_s8(x0, w, n), p->multiplier[o], z);
        y1[o] = oplib_requantize(p->bias[o] + oplib_dot_s8(x1, w, n), p->multiplier[o], z);
    }
}

void oplib_linear_s8(const int8_t *x, int8_t *y, int32_t tokens, const oplib_linear_s8_params *p)
{
    const int32_t in = p->in_features, out = p->out_features;
    for (int32_t t = 0; t < tokens; t += 2) {
        const int32_t next = t + 1 < tokens ? 1 : 0;
        linear_rows(x, x + next * in, y, y + next * out, p);
        x += 2 * in;
        y += 2 * out;
    }
}
