/* SPDX-License-Identifier: Apache-2.0 */
#include "dot_s8.h"
#include "oplib.h"
#include "patch.h"
#include "requant.h"

/* One row of the convolution, ReLU included: no code below the zero point. */
static void convolve_row(const uint8_t *x, int32_t row, int8_t *out, int8_t *window,
                         const oplib_conv_pool_s8_params *p)
{
    const oplib_linear_s8_params *l = &p->linear;
    for (int32_t column = 0; column < p->conv_size; column++) {
        oplib_gather_window(x, p->in_size, p->in_chans, p->pad, p->flip, row * p->stride - 1,
                            column * p->stride - 1, 3, window);
        const int8_t *w = l->weight;
        for (int32_t o = 0; o < l->out_features; o++, w += l->in_features) {
            const int32_t acc = l->bias[o] + oplib_dot_s8(window, w, l->in_features);
            const int8_t value = oplib_requantize(acc, l->multiplier[o], l->zero_point);
            *out++ = value < l->zero_point ? (int8_t)l->zero_point : value;
        }
    }
}

/* The largest of 3 x 3 values, as far as they are inside, of every channel and every second column. */
static void pool_row(const int8_t *rows, int32_t first, int32_t last, int8_t *y,
                     const oplib_conv_pool_s8_params *p)
{
    const int32_t chans = p->linear.out_features, length = p->conv_size * chans;
    for (int32_t column = 0; column < p->conv_size; column += 2) {
        const int32_t left = column > 0 ? column - 1 : 0;
        const int32_t right = column + 1 < p->conv_size ? column + 1 : column;
        for (int32_t c = 0; c < chans; c++) {
            int8_t largest = -128;
            for (int32_t row = first; row <= last; row++) {
                for (int32_t at = left; at <= right; at++) {
                    const int8_t value = rows[row % 3 * length + at * chans + c];
                    largest = value > largest ? value : largest;
                }
            }
            *y++ = largest;
        }
    }
}

void oplib_conv_pool_s8(const uint8_t *x, int8_t *y, int8_t *scratch,
                        const oplib_conv_pool_s8_params *p)
{
    const int32_t chans = p->linear.out_features, length = p->conv_size * chans;
    const int32_t pooled = (p->conv_size + 1) / 2;
    int8_t *window = scratch + 3 * length;
    int32_t done = 0;
    for (int32_t i = 0; i < pooled; i++) {
        const int32_t first = i > 0 ? 2 * i - 1 : 0;
        const int32_t last = 2 * i + 1 < p->conv_size ? 2 * i + 1 : p->conv_size - 1;
        for (; done <= last; done++)
            convolve_row(x, done, scratch + done % 3 * length, window, p);
        pool_row(scratch, first, last, y + i * pooled * chans, p);
    }
}
