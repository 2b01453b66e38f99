/* SPDX-License-Identifier: Apache-2.0
 *
 * Matrix products on tiles (SPEC.md, "Tiles and packed weights").
 *
 * A tile holds four tokens as int16, features in groups of four (quads) k0..k3. A quad is 32 bytes:
 *   {t0k0 t0k2} {t1k0 t1k2} {t2k0 t2k2} {t3k0 t3k2} {t0k1 t0k3} {t1k1 t1k3} {t2k1 t2k3} {t3k1 t3k3}
 * Packed weights hold two channels a group, a quad in 8 bytes:
 *   c0k0 c1k0 c0k2 c1k2   c0k1 c1k1 c0k3 c1k3
 * so that one load and two extensions of weights feed sixteen products. Features are padded to a
 * multiple of four and channels to an even number, with zero weights: what a tile holds there does not
 * matter.
 */
#ifndef OPLIB_TILE_H
#define OPLIB_TILE_H

#include "oplib.h"
#include "requant.h"

OPLIB_INLINE int32_t oplib_quads(int32_t features)
{
    return (int32_t)(((uint32_t)features + 3u) / 4u);
}

/* What becomes of the accumulators of channels `channel` and `channel` + `second`, where `second` is 0 for
 * the padding behind an odd last channel: a writer stores channel + second first. m: the two multipliers. */
typedef void (*oplib_block_writer)(oplib_block_4x2 sum, const int32_t *m, int32_t channel,
                                   int32_t second, const void *place);

/* Hand the channels [first, first + count) of a tile's product to a writer; `first` is even. */
OPLIB_INLINE void oplib_each_block(const void *tile, int32_t first, int32_t count,
                                   const oplib_linear_s8_params *p, oplib_block_writer write,
                                   const void *place)
{
    const int32_t quads = oplib_quads(p->in_features);
    const int8_t *w = p->weight + 4 * quads * first;
    const int32_t *r = p->requant + 2 * first;
    for (int32_t channel = 0; channel < count; channel += 2) {
        write(oplib_product_4x2(tile, w, quads, r[0], r[1]), r + 2, channel, channel + 1 < count,
              place);
        w += 8 * quads;
        r += 4;
    }
}

/* A requantised word, through the middle of GELU's table if `by_table`, a constant where it is inlined. */
OPLIB_INLINE int32_t oplib_finish(int32_t acc, int32_t m, int32_t zero_point, int by_table,
                                  const int8_t *middle)
{
    const int32_t value = oplib_requantize_word(acc, m, zero_point);
    return by_table != 0 ? middle[value] : value;
}

/* Four rows in memory; a tile of fewer tokens repeats its last one. */
typedef struct {
    int32_t t1, t2, t3; /* distances from the first row, in elements */
} oplib_tile_rows;

OPLIB_INLINE oplib_tile_rows oplib_rows(int32_t stride, int32_t rows)
{
    const oplib_tile_rows at = {rows > 1 ? stride : 0, rows > 2 ? 2 * stride : (rows - 1) * stride,
                                (rows - 1) * stride};
    return at;
}

/* Where channel c of a tile goes, in int16: token t at 2 * t, channel c + 1 at 8 + 2 * t. */
OPLIB_INLINE int32_t oplib_tile_channel(int32_t c)
{
    return (c & ~3) * 4 + ((c >> 1) & 1);
}

/* Tokens of the last tile, or four. */
OPLIB_INLINE int32_t oplib_tile_tokens(int32_t first, int32_t tokens)
{
    return tokens - first < 4 ? tokens - first : 4;
}

#endif
