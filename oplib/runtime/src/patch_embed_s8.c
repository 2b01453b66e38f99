/* SPDX-License-Identifier: Apache-2.0 */
#include "patch.h"
#include "tile.h"

/* Pack up to four patches. Patches that reach beyond the image, or whose rows are not whole words,
 * are first gathered into windows. */
static void pack_tile(const uint8_t *rows, int32_t first_row, int32_t token, int32_t tokens,
                      char *tile, int8_t *windows, const oplib_patch_embed_s8_params *params)
{
    const int32_t features = params->linear.in_features;
    if (params->direct != 0) {
        oplib_tile_pack_patches_s8(rows, first_row, token, tokens, tile, params);
        return;
    }
    for (int32_t i = 0; i < tokens; i++) {
        const int32_t t = token + i;
        const int32_t top = t / params->grid_size * params->patch_size - params->pad_before;
        const int32_t left = t % params->grid_size * params->patch_size - params->pad_before;
        oplib_gather_window(rows, first_row, params->img_size, params->in_chans, params->pad, top,
                            left, params->patch_size, windows + i * features);
    }
    oplib_tile_pack_s8(windows, features, tokens, features, tile);
}

static void pack_panel(const uint8_t *rows, int32_t first_row, int32_t token, int32_t tokens,
                       char *panel, const oplib_patch_embed_s8_params *params)
{
    const int32_t features = params->linear.in_features;
    int8_t *const windows = (int8_t *)panel + oplib_panel_bytes(params->panel, features);
    for (int32_t t = 0; t < tokens; t += OPLIB_TILE_TOKENS, panel += oplib_tile_bytes(features))
        pack_tile(rows, first_row, token + t, oplib_tile_tokens(t, tokens), panel, windows, params);
}

void oplib_patch_embed_s8(const uint8_t *rows, int32_t first_row, int8_t *y, void *scratch,
                          int32_t token, int32_t count, const oplib_patch_embed_s8_params *params)
{
    const oplib_linear_s8_params *linear = &params->linear;
    const int32_t out = linear->out_features, end = token + count;
    const int8_t *position = params->position;
    if (token == 0) /* the class token, its position included */
        for (int32_t o = 0; o < params->first * out; o++)
            y[o] = oplib_saturate_s8(linear->zero_point + position[o]);
    y += (params->first + token) * out;
    if (position != NULL)
        position += (params->first + token) * out;
    for (; token < end; token += params->panel) {
        const int32_t now = oplib_panel_tokens(token, end, params->panel);
        pack_panel(rows, first_row, token, now, scratch, params);
        oplib_tile_embed_s8(scratch, y, now, position, linear);
        y += now * out;
        if (position != NULL)
            position += now * out;
    }
}
