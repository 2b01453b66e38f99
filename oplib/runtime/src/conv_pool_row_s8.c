/* SPDX-License-Identifier: Apache-2.0 */
#include "conv.h"
#include "tile.h"

/* y = the largest of y, a and b */
static void take_larger(int8_t *y, const int8_t *a, const int8_t *b, int32_t chans)
{
    if (chans % OPLIB_QUAD == 0) {
        for (const int8_t *const end = y + chans; y != end; y += 4, a += 4, b += 4) {
            const uint32_t larger = oplib_max_bytes(oplib_load_u32(a), oplib_load_u32(b));
            oplib_store_u32(y, oplib_max_bytes(oplib_load_u32(y), larger));
        }
        return;
    }
    for (int32_t c = 0; c < chans; c++) {
        const int8_t larger = a[c] > b[c] ? a[c] : b[c];
        y[c] = y[c] > larger ? y[c] : larger;
    }
}

/* Take `columns` columns of the convolution, from `column` on, which is even, into a pooled row. */
static void pool(const int8_t *x, int32_t column, int32_t columns, int8_t *y,
                 const oplib_conv_pool_s8_params *params)
{
    const int32_t chans = params->linear.out_features, pooled = oplib_pooled_size(params);
    for (int32_t i = 0; i < columns; i += 2, x += 2 * chans) {
        const int32_t at = (column + i) / 2;
        const int8_t *const odd = i + 1 < columns ? x + chans : x;
        take_larger(y + at * chans, x, odd, chans);
        if (at + 1 < pooled)
            take_larger(y + (at + 1) * chans, odd, odd, chans);
    }
}

static int8_t *begin_row(const oplib_pooled_rows *y, int32_t row, int begins,
                         const oplib_conv_pool_s8_params *params)
{
    int8_t *const first = y->rows + row % y->places * y->stride;
    const int32_t bytes = oplib_pooled_size(params) * params->linear.out_features;
    for (int32_t i = 0; begins && i < bytes; i++)
        first[i] = (int8_t)params->linear.zero_point;
    return first;
}

void oplib_conv_pool_row_s8(const uint8_t *x, int32_t places, int32_t row,
                            const oplib_pooled_rows *y, void *scratch,
                            const oplib_conv_pool_s8_params *params)
{
    const oplib_linear_s8_params *const linear = &params->linear;
    const int32_t features = linear->in_features, chans = linear->out_features;
    const int reaches_next = row % 2 == 1 && row / 2 + 1 < oplib_pooled_size(params);
    int8_t *const upper = begin_row(y, row / 2, row == 0, params);
    int8_t *const lower = reaches_next ? begin_row(y, row / 2 + 1, 1, params) : NULL;
    char *const panel = scratch;
    int8_t *const results = (int8_t *)panel + oplib_panel_bytes(params->panel, features);
    for (int32_t column = 0; column < params->conv_size; column += params->panel) {
        const int32_t now = oplib_panel_tokens(column, params->conv_size, params->panel);
        oplib_tile_pack_windows_s8(x, places, row, column, now, panel, results, params);
        oplib_tile_linear_s8(panel, results, chans, now, 0, chans, linear);
        pool(results, column, now, upper, params);
        if (lower != NULL)
            pool(results, column, now, lower, params);
    }
}
