/* SPDX-License-Identifier: Apache-2.0 */
#include "dot_s8.h"
#include "patch.h"
#include "tile.h"

/* Embed two patches without packing them; the second may repeat the first. */
static void embed_two(const uint8_t *x0, const uint8_t *x1, int8_t *y0, int8_t *y1,
                      const int8_t *position0, const int8_t *position1,
                      const oplib_patch_embed_s8_params *params)
{
    const oplib_linear_s8_params *linear = &params->linear;
    const int32_t length = params->patch_size * params->in_chans;
    const int32_t stride = params->img_size * params->in_chans, z = linear->zero_point;
    const int8_t *weight = linear->weight;
    const int32_t *requant = linear->requant;
    for (int32_t o = 0; o < linear->out_features; o += 2, requant += 4) {
        oplib_block_2x2 sum = {requant[0], requant[1], requant[0], requant[1]};
        for (int32_t row = 0; row < params->patch_size; row++) {
            const uint8_t *row0 = x0 + row * stride, *row1 = x1 + row * stride;
            for (const uint8_t *const end = row0 + length; row0 != end; row0 += OPLIB_QUAD) {
                sum = oplib_quad_2x2(sum, oplib_load_u32(row0) ^ OPLIB_FLIP_U8,
                                     oplib_load_u32(row1) ^ OPLIB_FLIP_U8, weight);
                row1 += OPLIB_QUAD;
                weight += OPLIB_WEIGHT_QUAD_BYTES;
            }
        }
        const int32_t second = o + 1 < linear->out_features;
        const int8_t *const a = position0 == NULL ? NULL : position0 + o;
        const int8_t *const b = position1 == NULL ? NULL : position1 + o;
        y0[o + second] = oplib_requantize(sum.t0c1, requant[3], z + (a == NULL ? 0 : a[second]));
        y0[o] = oplib_requantize(sum.t0c0, requant[2], z + (a == NULL ? 0 : a[0]));
        y1[o + second] = oplib_requantize(sum.t1c1, requant[3], z + (b == NULL ? 0 : b[second]));
        y1[o] = oplib_requantize(sum.t1c0, requant[2], z + (b == NULL ? 0 : b[0]));
    }
}

/* Address of a panel directly below the strip of patches that contains `token`. */
static char *panel_below_strip(uint8_t *image, int32_t token, int32_t tokens,
                               const oplib_patch_embed_s8_params *params)
{
    const int32_t strip_bytes = params->patch_size * params->img_size * params->in_chans;
    const int32_t strip = token / params->grid_size * strip_bytes;
    const int32_t panel = strip - oplib_panel_bytes(tokens, params->linear.in_features);
    return (char *)image + (panel & ~(OPLIB_ALIGNMENT - 1));
}

/* Tokens of the panel that begins with `token`: as many as leave it inside the image and above
 * themselves, where y is the place of the first; at least one tile of them does. */
static int32_t panel_tokens(uint8_t *image, const int8_t *y, int32_t token,
                            const oplib_patch_embed_s8_params *params)
{
    const int32_t end = params->grid_size * params->grid_size;
    int32_t most = params->panel;
    for (; most > OPLIB_TILE_TOKENS; most -= OPLIB_TILE_TOKENS) {
        const int32_t now = oplib_panel_tokens(token, end, most);
        const int8_t *const panel = (int8_t *)panel_below_strip(image, token, now, params);
        if (panel >= (int8_t *)image && panel >= y + now * params->linear.out_features)
            break;
    }
    return oplib_panel_tokens(token, end, most);
}

static void embed_panel(uint8_t *image, int8_t *y, int32_t token, int32_t tokens,
                        const int8_t *position, const oplib_patch_embed_s8_params *params)
{
    const int32_t features = params->linear.in_features;
    char *const panel = panel_below_strip(image, token, tokens, params);
    for (int32_t t = 0; t < tokens; t += OPLIB_TILE_TOKENS)
        oplib_tile_pack_patches_s8(image, 0, token + t, oplib_tile_tokens(t, tokens),
                                   panel + oplib_panel_bytes(t, features), params);
    oplib_tile_embed_s8(panel, y, tokens, position, &params->linear);
}

void oplib_patch_embed_in_place_s8(uint8_t *image, int8_t *y,
                                   const oplib_patch_embed_s8_params *params)
{
    const int32_t out = params->linear.out_features, end = params->grid_size * params->grid_size;
    const int8_t *position = params->position;
    if (params->first != 0) { /* the class token, its position included */
        for (int32_t o = 0; o < out; o++)
            y[o] = oplib_saturate_s8(params->linear.zero_point + position[o]);
        y += out;
        position += out;
    }
    for (int32_t token = 0; token < end;) {
        int32_t now = end - token < 2 ? 1 : 2;
        if (token >= params->tile_from) {
            now = panel_tokens(image, y, token, params);
            embed_panel(image, y, token, now, position, params);
        } else {
            const int32_t next = now > 1 ? out : 0;
            embed_two(oplib_patch_corner(image, 0, token, params),
                      oplib_patch_corner(image, 0, token + now - 1, params), y, y + next, position,
                      position == NULL ? NULL : position + next, params);
        }
        token += now;
        y += now * out;
        if (position != NULL)
            position += now * out;
    }
}
