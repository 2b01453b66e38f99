/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

/* Pack up to four rows of int16 into a tile. */
static void pack_tile_s16(const oplib_memory_s16 *x, int32_t stride, int32_t tokens,
                          int32_t features, char *tile)
{
    const oplib_tile_rows at = oplib_rows(stride, tokens);
    const oplib_memory_s16 *const rows[OPLIB_TILE_TOKENS] = {x, x + at.t1, x + at.t2, x + at.t3};
    for (int32_t k = 0; k < features; k += OPLIB_QUAD, tile += OPLIB_QUAD_BYTES) {
        for (int32_t t = 0; t < OPLIB_TILE_TOKENS; t++) {
            const oplib_memory_s16 *row = rows[t] + k;
            const int32_t b = k + 1 < features ? row[1] : 0, c = k + 2 < features ? row[2] : 0;
            const int32_t d = k + 3 < features ? row[3] : 0;
            oplib_store_u32(tile + OPLIB_TOKEN_BYTES * t, oplib_halves(row[0], c));
            oplib_store_u32(tile + OPLIB_QUAD_ODD + OPLIB_TOKEN_BYTES * t, oplib_halves(b, d));
        }
    }
}

static void pack_s16(const oplib_memory_s16 *x, int32_t tokens, int32_t features, char *panel)
{
    for (int32_t t = 0; t < tokens; t += OPLIB_TILE_TOKENS, panel += oplib_tile_bytes(features))
        pack_tile_s16(x + t * features, features, oplib_tile_tokens(t, tokens), features, panel);
}

void oplib_linear_s16_s8(const int16_t *x, int8_t *y, void *scratch, int32_t tokens, int32_t panel,
                         const oplib_linear_s8_params *params)
{
    const int32_t in = params->in_features, out = params->out_features;
    for (int32_t t = 0; t < tokens; t += panel) {
        const int32_t rows = oplib_panel_tokens(t, tokens, panel);
        pack_s16(x + t * in, rows, in, scratch);
        oplib_tile_linear_s8(scratch, y + t * out, out, rows, 0, out, params);
    }
}
