/* SPDX-License-Identifier: Apache-2.0 */
#include "dot_s8.h"
#include "oplib.h"
#include "patch.h"
#include "requant.h"

static int8_t embed(int32_t acc, int32_t o, const int8_t *position, const oplib_linear_s8_params *p)
{
    const int32_t offset = p->zero_point + (position != 0 ? position[o] : 0);
    return oplib_requantize(acc, p->multiplier[o], offset);
}

static void embed_two(const int8_t *x0, const int8_t *x1, int8_t *y0, int8_t *y1,
                      const int8_t *position0, const int8_t *position1,
                      const oplib_linear_s8_params *p)
{
    const int32_t n = p->in_features;
    const int8_t *w = p->weight;
    int32_t o = 0;
    for (; o + 1 < p->out_features; o += 2, w += 2 * n) {
        oplib_block_2x2 acc = {p->bias[o], p->bias[o + 1], p->bias[o], p->bias[o + 1]};
        acc = oplib_dot_2x2_s8(x0, x1, w, w + n, n, acc);
        y0[o] = embed(acc.t0c0, o, position0, p);
        y0[o + 1] = embed(acc.t0c1, o + 1, position0, p);
        y1[o] = embed(acc.t1c0, o, position1, p);
        y1[o + 1] = embed(acc.t1c1, o + 1, position1, p);
    }
    if (o < p->out_features) {
        y0[o] = embed(p->bias[o] + oplib_dot_s8(x0, w, n), o, position0, p);
        y1[o] = embed(p->bias[o] + oplib_dot_s8(x1, w, n), o, position1, p);
    }
}

void oplib_patch_embed_s8(const uint8_t *image, int8_t *y, int8_t *scratch,
                          const oplib_patch_embed_s8_params *p)
{
    const int32_t tokens = p->grid_size * p->grid_size;
    const int32_t out = p->linear.out_features, length = p->linear.in_features;
    const int8_t *position = p->position;
    if (p->first != 0) { /* the class token, its position included */
        for (int32_t o = 0; o < out; o++)
            y[o] = oplib_saturate_s8(p->linear.zero_point + position[o]);
        position += out;
        y += out;
    }
    for (int32_t t = 0; t < tokens; t += 2) {
        const int32_t last = t + 1 < tokens ? t + 1 : t;
        for (int32_t i = t; i <= last; i++) {
            const int32_t top = i / p->grid_size * p->patch_size - p->pad_before;
            const int32_t left = i % p->grid_size * p->patch_size - p->pad_before;
            oplib_gather_window(image, p->img_size, p->in_chans, p->pad, 0x80u, top, left,
                                p->patch_size, scratch + (i - t) * length);
        }
        const int8_t *here = position != 0 ? position + t * out : 0;
        const int8_t *next = position != 0 ? position + last * out : 0;
        embed_two(scratch, scratch + (last - t) * length, y + t * out, y + last * out, here, next,
                  &p->linear);
    }
}
