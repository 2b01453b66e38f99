/* SPDX-License-Identifier: Apache-2.0 */
#include "conv.h"
#include "patch.h"
#include "tile.h"

#define TAPS (OPLIB_CONV_SIDE * OPLIB_CONV_SIDE)

/* Pack up to four windows pixel by pixel; channels are whole quads. */
static void pack_pixels(const uint8_t *const rows[OPLIB_CONV_SIDE], int32_t column, int32_t windows,
                        char *tile, const oplib_conv_pool_s8_params *params)
{
    const int32_t chans = params->in_chans;
    for (int32_t tap = 0; tap < TAPS; tap++, tile += OPLIB_FEATURE_BYTES * chans) {
        const uint8_t *const row = rows[tap / OPLIB_CONV_SIDE];
        const uint8_t *pixels[OPLIB_TILE_TOKENS];
        for (int32_t i = 0; i < OPLIB_TILE_TOKENS; i++) {
            const int32_t window = column + (i < windows ? i : windows - 1);
            const int32_t at = window * params->stride - 1 + tap % OPLIB_CONV_SIDE;
            const int inside = row != NULL && at >= 0 && at < params->in_size;
            pixels[i] = inside ? row + at * chans : params->pad;
        }
        oplib_tile_pack_rows_s8(pixels, chans, params->flip, tile);
    }
}

/* Pack up to four windows that are first gathered, because a pixel ends inside a quad. */
static void pack_gathered(const uint8_t *const rows[OPLIB_CONV_SIDE], int32_t column,
                          int32_t windows, char *tile, int8_t *gathered,
                          const oplib_conv_pool_s8_params *params)
{
    const uint8_t *from[OPLIB_TILE_TOKENS];
    for (int32_t i = 0; i < OPLIB_TILE_TOKENS; i++) {
        from[i] = i < windows ? (const uint8_t *)gathered : from[windows - 1];
        for (int32_t side = 0; side < OPLIB_CONV_SIDE && i < windows; side++)
            gathered =
                oplib_gather_row(rows[side], params->in_size, params->in_chans, params->pad, 0u,
                                 (column + i) * params->stride - 1, OPLIB_CONV_SIDE, gathered);
    }
    oplib_tile_pack_rows_s8(from, params->linear.in_features, params->flip, tile);
}

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
    const uint8_t *rows[OPLIB_CONV_SIDE];
    for (int32_t i = 0; i < OPLIB_CONV_SIDE; i++) {
        const int32_t at = row * params->stride - 1 + i;
        const int inside = at >= 0 && at < params->in_size;
        rows[i] = inside ? x + at % places * params->in_size * params->in_chans : NULL;
    }
    for (int32_t column = 0; column < params->conv_size; column += params->panel) {
        const int32_t now = oplib_panel_tokens(column, params->conv_size, params->panel);
        for (int32_t i = 0; i < now; i += OPLIB_TILE_TOKENS) {
            char *const tile = panel + oplib_panel_bytes(i, features);
            const int32_t windows = oplib_tile_tokens(i, now);
            if (params->in_chans % OPLIB_QUAD == 0)
                pack_pixels(rows, column + i, windows, tile, params);
            else /* the results' place is free until all windows are packed */
                pack_gathered(rows, column + i, windows, tile, results, params);
        }
        oplib_tile_linear_s8(panel, results, chans, now, 0, chans, linear);
        pool(results, column, now, upper, params);
        if (lower != NULL)
            pool(results, column, now, lower, params);
    }
}
