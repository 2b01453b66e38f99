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
        /* cppcheck-suppress uninitvar ; there is a window, so that the last one came before */
        from[i] = i < windows ? (const uint8_t *)gathered : from[windows - 1];
        for (int32_t side = 0; side < OPLIB_CONV_SIDE && i < windows; side++)
            gathered =
                oplib_gather_row(rows[side], params->in_size, params->in_chans, params->pad, 0u,
                                 (column + i) * params->stride - 1, OPLIB_CONV_SIDE, gathered);
    }
    oplib_tile_pack_rows_s8(from, params->linear.in_features, params->flip, tile);
}

void oplib_tile_pack_windows_s8(const uint8_t *x, int32_t places, int32_t row, int32_t column,
                                int32_t windows, void *panel, int8_t *gathered,
                                const oplib_conv_pool_s8_params *params)
{
    const int32_t tile_bytes = oplib_tile_bytes(params->linear.in_features);
    const uint8_t *rows[OPLIB_CONV_SIDE];
    char *tile = panel;
    for (int32_t i = 0; i < OPLIB_CONV_SIDE; i++) {
        const int32_t at = row * params->stride - 1 + i;
        const int inside = at >= 0 && at < params->in_size;
        rows[i] = inside ? x + at % places * params->in_size * params->in_chans : NULL;
    }
    for (int32_t i = 0; i < windows; i += OPLIB_TILE_TOKENS, tile += tile_bytes) {
        const int32_t now = oplib_tile_tokens(i, windows);
        if (params->in_chans % OPLIB_QUAD == 0)
            pack_pixels(rows, column + i, now, tile, params);
        else
            pack_gathered(rows, column + i, now, tile, gathered, params);
    }
}
