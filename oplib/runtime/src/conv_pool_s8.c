/* SPDX-License-Identifier: Apache-2.0 */
#include "patch.h"
#include "tile.h"

/* One row of the convolution, four columns at a time. ReLU: no code is below the zero point. */
static void convolve_row(const uint8_t *x, int32_t row, int8_t *out, char *tile,
                         const oplib_conv_pool_s8_params *params)
{
    const oplib_linear_s8_params *linear = &params->linear;
    const int32_t chans = linear->out_features, features = linear->in_features;
    int8_t *const windows = (int8_t *)tile + oplib_tile_bytes(features);
    for (int32_t column = 0; column < params->conv_size; column += OPLIB_TILE_TOKENS) {
        const int32_t now = oplib_tile_tokens(column, params->conv_size);
        for (int32_t i = 0; i < now; i++)
            oplib_gather_window(x, 0, params->in_size, params->in_chans, params->pad, params->flip,
                                row * params->stride - 1, (column + i) * params->stride - 1, 3,
                                windows + i * features);
        oplib_tile_pack_s8(windows, features, now, features, tile);
        oplib_tile_linear_s8(tile, out, chans, now, 0, chans, linear);
        for (int32_t i = 0; i < now * chans; i++, out++)
            *out = *out < linear->zero_point ? (int8_t)linear->zero_point : *out;
    }
}

/* The largest of 3 x 3 values inside the map, for every channel and every second column. */
static void pool_row(const int8_t *rows, int32_t first, int32_t last, int8_t *y,
                     const oplib_conv_pool_s8_params *params)
{
    const int32_t chans = params->linear.out_features, length = params->conv_size * chans;
    for (int32_t column = 0; column < params->conv_size; column += 2) {
        const int32_t left = column > 0 ? column - 1 : 0;
        const int32_t right = column + 1 < params->conv_size ? column + 1 : column;
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

void oplib_conv_pool_s8(const uint8_t *x, int8_t *y, void *scratch,
                        const oplib_conv_pool_s8_params *params)
{
    const int32_t chans = params->linear.out_features, length = params->conv_size * chans;
    const int32_t features = params->linear.in_features, pooled = (params->conv_size + 1) / 2;
    char *const tile = scratch;
    int8_t *const windows = (int8_t *)tile + oplib_tile_bytes(features);
    int8_t *const rows = windows + OPLIB_TILE_TOKENS * features;
    int32_t done = 0;
    for (int32_t i = 0; i < pooled; i++) {
        const int32_t first = i > 0 ? 2 * i - 1 : 0;
        const int32_t last = 2 * i + 1 < params->conv_size ? 2 * i + 1 : params->conv_size - 1;
        for (; done <= last; done++)
            convolve_row(x, done, rows + done % 3 * length, tile, params);
        pool_row(rows, first, last, y + i * pooled * chans, params);
    }
}
