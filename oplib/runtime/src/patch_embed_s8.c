/* SPDX-License-Identifier: Apache-2.0 */
#include "dot_s8.h"
#include "patch.h"
#include "tile.h"

typedef struct {
    int8_t *y;
    const int8_t *position; /* or null */
    oplib_tile_rows at;
    int32_t zero_point;
} tokens_s8;

/* z0, z1: of the two channels of a token, its position included */
OPLIB_INLINE void write_token(int8_t *y, int32_t second, int32_t c0, int32_t c1, const int32_t *m,
                              int32_t z0, int32_t z1)
{
    y[second] = oplib_requantize(c1, m[1], z1);
    y[0] = oplib_requantize(c0, m[0], z0);
}

OPLIB_INLINE void write_embedded(oplib_block_4x2 sum, const int32_t *m, int32_t channel,
                                 int32_t second, const void *place)
{
    const tokens_s8 *to = place;
    const int32_t z = to->zero_point, t1 = to->at.t1, t2 = to->at.t2, t3 = to->at.t3;
    int8_t *y = to->y + channel;
    if (to->position == 0) {
        write_token(y, second, sum.t0c0, sum.t0c1, m, z, z);
        write_token(y + t1, second, sum.t1c0, sum.t1c1, m, z, z);
        write_token(y + t2, second, sum.t2c0, sum.t2c1, m, z, z);
        write_token(y + t3, second, sum.t3c0, sum.t3c1, m, z, z);
        return;
    }
    const int8_t *p = to->position + channel;
    write_token(y, second, sum.t0c0, sum.t0c1, m, z + p[0], z + p[second]);
    write_token(y + t1, second, sum.t1c0, sum.t1c1, m, z + p[t1], z + p[t1 + second]);
    write_token(y + t2, second, sum.t2c0, sum.t2c1, m, z + p[t2], z + p[t2 + second]);
    write_token(y + t3, second, sum.t3c0, sum.t3c1, m, z + p[t3], z + p[t3 + second]);
}

/* The first pixel of a patch that lies wholly inside the image. */
static const uint8_t *corner(const uint8_t *rows, int32_t first_row, int32_t token,
                             const oplib_patch_embed_s8_params *p)
{
    const int32_t row = token / p->grid_size * p->patch_size - first_row;
    const int32_t column = token % p->grid_size * p->patch_size;
    return rows + (row * p->img_size + column) * p->in_chans;
}

/* Four patches into a tile; through windows of bytes where they reach beyond the image or where their rows
 * are no whole words. */
static void pack_patches(const uint8_t *rows, int32_t first_row, int32_t token, int32_t tokens,
                         char *tile, const oplib_patch_embed_s8_params *p)
{
    const int32_t length = p->patch_size * p->in_chans, features = p->linear.in_features;
    if (p->direct != 0) {
        const int32_t stride = p->img_size * p->in_chans;
        const uint8_t *from[4];
        for (int32_t i = 0; i < 4; i++)
            from[i] = corner(rows, first_row, token + (i < tokens ? i : tokens - 1), p);
        for (int32_t row = 0; row < p->patch_size; row++, tile += 8 * length) {
            oplib_tile_pack_rows_s8(from, length, 0x80808080u, tile);
            for (int32_t i = 0; i < 4; i++)
                from[i] += stride;
        }
        return;
    }
    int8_t *const windows = (int8_t *)tile + 32 * oplib_quads(features);
    for (int32_t i = 0; i < tokens; i++) {
        const int32_t t = token + i;
        const int32_t top = t / p->grid_size * p->patch_size - p->pad_before;
        const int32_t left = t % p->grid_size * p->patch_size - p->pad_before;
        oplib_gather_window(rows, first_row, p->img_size, p->in_chans, p->pad, 0x80u, top, left,
                            p->patch_size, windows + i * features);
    }
    oplib_tile_pack_s8(windows, features, tokens, features, tile);
}

OPLIB_MICRO_KERNEL OPLIB_FAST(multiply)
static void multiply(const char *tile, const tokens_s8 *place, const oplib_linear_s8_params *p)
{
    oplib_each_block(tile, 0, p->out_features, p, write_embedded, place);
}

/* Two patches without a tile, read where they lie. */
static void embed_two(const uint8_t *x0, const uint8_t *x1, int8_t *y0, int8_t *y1,
                      const int8_t *position0, const int8_t *position1,
                      const oplib_patch_embed_s8_params *p)
{
    const oplib_linear_s8_params *l = &p->linear;
    const int32_t length = p->patch_size * p->in_chans, stride = p->img_size * p->in_chans;
    const int8_t *w = l->weight;
    const int32_t *r = l->requant;
    for (int32_t o = 0; o < l->out_features; o += 2, r += 4) {
        oplib_block_2x2 sum = {r[0], r[1], r[0], r[1]};
        for (int32_t row = 0; row < p->patch_size; row++, w += 2 * length)
            sum = oplib_product_2x2(x0 + row * stride, x1 + row * stride, w, length, 0x80808080u,
                                    sum);
        const int32_t second = o + 1 < l->out_features;
        const int8_t *const a = position0 == 0 ? 0 : position0 + o;
        const int8_t *const b = position1 == 0 ? 0 : position1 + o;
        const int32_t z = l->zero_point;
        y0[o + second] = oplib_requantize(sum.t0c1, r[3], z + (a == 0 ? 0 : a[second]));
        y0[o] = oplib_requantize(sum.t0c0, r[2], z + (a == 0 ? 0 : a[0]));
        y1[o + second] = oplib_requantize(sum.t1c1, r[3], z + (b == 0 ? 0 : b[second]));
        y1[o] = oplib_requantize(sum.t1c0, r[2], z + (b == 0 ? 0 : b[0]));
    }
}

/* Room for a tile directly below the strip of patches that `token` begins in. */
static char *below(const uint8_t *rows, int32_t token, const oplib_patch_embed_s8_params *p)
{
    const int32_t strip = p->patch_size * p->img_size * p->in_chans;
    const int32_t at = token / p->grid_size * strip - 32 * oplib_quads(p->linear.in_features);
    return (char *)(uintptr_t)(rows + (at & ~7));
}

void oplib_patch_embed_s8(const uint8_t *rows, int32_t first_row, int8_t *y, void *scratch,
                          int32_t token, int32_t count, const oplib_patch_embed_s8_params *p)
{
    const oplib_linear_s8_params *l = &p->linear;
    const int32_t out = l->out_features, end = token + count;
    const int8_t *position = p->position;
    if (token == 0) /* the class token, its position included */
        for (int32_t o = 0; o < p->first * out; o++)
            y[o] = oplib_saturate_s8(l->zero_point + position[o]);
    y += (p->first + token) * out;
    if (position != 0)
        position += (p->first + token) * out;
    while (token < end) {
        const int32_t tiled = scratch != 0 || token >= p->tile_from;
        const int32_t step = tiled ? 4 : 2, left = end - token, now = left < step ? left : step;
        const int32_t next = now > 1 ? out : 0;
        if (tiled) {
            char *const tile = scratch != 0 ? scratch : below(rows, token, p);
            const tokens_s8 place = {y, position, oplib_rows(out, now), l->zero_point};
            pack_patches(rows, first_row, token, now, tile, p);
            multiply(tile, &place, l);
        } else {
            embed_two(corner(rows, first_row, token, p),
                      corner(rows, first_row, token + now - 1, p), y, y + next, position,
                      position == 0 ? 0 : position + next, p);
        }
        token += now;
        y += now * out;
        if (position != 0)
            position += now * out;
    }
}
