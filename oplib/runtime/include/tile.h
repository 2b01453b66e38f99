/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file tile.h
 * @brief Matrix products on tiles (SPEC.md, "Tiles and packed weights"), for kernels.
 *
 * The path of the data, for a layer of a streamed block:
 *
 *     rows of tokens, int8           4 tokens at a time          packed weights, int8, in flash
 *     | t0 k0 k1 k2 k3 k4 ..                                     | c0 c1 : quads 0, 1, 2, ..
 *     | t1 k0 k1 ..           pack or                            | c2 c3 : quads 0, 1, 2, ..
 *     | t2 ..               layer norm                           | ..
 *     | t3 ..            ----------------> tile, int16               |
 *     | t4 ..                             | quad 0 | quad 1 | ..     |
 *                                                |                   |
 *                                                +--- product_4x2 ---+  once per pair of channels
 *                                                          |
 *                       8 sums, int32: t0c0 t0c1 t1c0 t1c1 t2c0 t2c1 t3c0 t3c1
 *                                                          |
 *                          epilogue (block_writer): requantise, table, position, residual
 *                                                          |
 *        rows of tokens, int8 | the next layer's tile | keys or values, packed as weights
 *
 * One quad of a tile: four tokens, features k0..k3, int16, 32 bytes
 *
 *     byte  0: t0k0 t0k2 | t1k0 t1k2 | t2k0 t2k2 | t3k0 t3k2
 *     byte 16: t0k1 t0k3 | t1k1 t1k3 | t2k1 t2k3 | t3k1 t3k3
 *
 * One quad of packed weights: two channels, features k0..k3, int8, 8 bytes
 *
 *     byte  0: c0k0 c1k0 c0k2 c1k2
 *     byte  4: c0k1 c1k1 c0k3 c1k3
 *
 * so that one load and two extensions of weights feed sixteen products. Features are padded to
 * whole quads and channels to an even number with zero weights; the tile's contents there are
 * ignored. Where fewer than four tokens are left, a tile repeats the last one.
 *
 * A panel is the tiles of consecutive tokens, one after the other. A product runs each pair of
 * channels over all tiles of its panel before the next pair, so that the weights leave flash once
 * per panel: a pair of rows stays in the data cache meanwhile.
 */
#ifndef OPLIB_TILE_H
#define OPLIB_TILE_H

#include <stddef.h>

#include "oplib.h"
#include "product_4x2.h"
#include "relative.h"
#include "requant.h"

/* Kernels on panels of `tokens` tokens. Panels are 8-byte aligned and take
 * oplib_panel_bytes(tokens, features). */

/* Pack four rows of bytes, each exclusive-or'ed with `flip`. */
void oplib_tile_pack_rows_s8(const uint8_t *const rows[OPLIB_TILE_TOKENS], int32_t features,
                             uint32_t flip, void *tile);

/* Pack `tokens` rows, `stride` bytes apart. */
void oplib_tile_pack_s8(const int8_t *x, int32_t stride, int32_t tokens, int32_t features,
                        void *panel);

/* Pack up to four patches that are inside the image and whose rows are whole words. `rows` holds
 * the image from `first_row` on. */
void oplib_tile_pack_patches_s8(const uint8_t *rows, int32_t first_row, int32_t token,
                                int32_t tokens, void *tile,
                                const oplib_patch_embed_s8_params *params);

/* Channels [first, first + count) of a linear layer; `first` is even. linear_s8: into rows,
 * `stride` bytes apart. linear_key_s8, linear_value_s8: one head's keys and values, count =
 * head_dim a multiple of 4, packed as weights: tokens are the channels of keys and the features of
 * values. Keys and values are those of the panel's first token; `all` is the number of tokens of
 * all panels. Into panels and the residual stream: oplib_blocks.h. */
void oplib_tile_linear_s8(const void *panel, int8_t *y, int32_t stride, int32_t tokens,
                          int32_t first, int32_t count, const oplib_linear_s8_params *params);
void oplib_tile_linear_key_s8(const void *panel, int8_t *keys, int32_t tokens, int32_t first,
                              int32_t count, const oplib_linear_s8_params *params);
void oplib_tile_linear_value_s8(const void *panel, int8_t *values, int32_t tokens, int32_t all,
                                int32_t first, int32_t count, const oplib_linear_s8_params *params);

/* A linear layer into `tokens` rows without gaps, each with its position added before the one
 * rounding; position: row of the panel's first token, or NULL. */
void oplib_tile_embed_s8(const void *panel, int8_t *y, int32_t tokens, const int8_t *position,
                         const oplib_linear_s8_params *params);

/* `count` rows of `dim` bytes, `stride` apart, packed as weights: as keys, rows are the channels,
 * two to a pair; as values, they are the features, zeros after the last, and two channels take
 * `pair_bytes`. */
void oplib_tile_pack_keys_s8(const int8_t *rows, int32_t stride, int32_t count, int32_t dim,
                             int8_t *keys);
void oplib_tile_pack_pair_s8(const int8_t *row, const int8_t *next, int32_t dim, int8_t *keys);
void oplib_tile_pack_values_s8(const int8_t *rows, int32_t stride, int32_t count, int32_t dim,
                               int32_t pair_bytes, int8_t *values);

/* Products of a tile with `pairs` of packed channels, `pair_bytes` apart: four words for each
 * channel, by tokens. */
void oplib_tile_products_s32(const void *tile, const int8_t *weights, int32_t quads,
                             int32_t pair_bytes, int32_t pairs, void *products);

/* One head's scores for a tile of queries: four rows of int8, oplib_padded(tokens) apart. */
void oplib_tile_scores_s8(const void *query, const int8_t *keys, int32_t tokens, int8_t *scores,
                          const oplib_attention_s8_params *params);

/* The weights of four rows of scores, into a tile with tokens as features, and the sum of each row
 * as of oplib_softmax_s8(). row: 2 bytes per token; unused if the softmax is an unnormalised
 * table. */
void oplib_tile_softmax_s8(const int8_t *scores, int32_t tokens, void *weights, void *row,
                           int32_t sums[OPLIB_TILE_TOKENS], const oplib_softmax_s8_params *params);

/* One head's attention for a tile of queries, keys and values packed as weights; into `rows` rows,
 * or into a tile. scratch: oplib_attention_work_bytes() */
void oplib_tile_attention_rows_s8(const void *query, const int8_t *keys, const int8_t *values,
                                  int32_t tokens, int8_t *y, int32_t stride, int32_t rows,
                                  void *scratch, const oplib_attention_s8_params *params);
void oplib_tile_attention_tile_s8(const void *query, const int8_t *keys, const int8_t *values,
                                  int32_t tokens, void *tile, void *scratch,
                                  const oplib_attention_s8_params *params);

/* With relative positions (oplib_attention_relative_s8()), by the vectors that
 * oplib_tile_pack_relative_s8() packs into oplib_relative_bytes(). `token` is the first query's.
 *
 * class_values: append the class token's vectors, if there is one, to a head's values, which are
 * those of oplib_relative_values() tokens.
 * relative_products: sums of the queries' products with the keys' vectors, four words for each: the
 * class token, each row, each column, and zeros. products: oplib_relative_tile_bytes()
 * relative_scores: scores of keys with these sums.
 * relative_weights: shift the weights until their sums, which are replaced, are below 2^15; append
 * those of the class token's vectors, and store the sums for the vectors of rows and columns in two
 * tiles from the first quad that the queries use. row, sums: as above.
 * attention_relative: all of it; scratch: oplib_attention_relative_work_bytes(). The query may be
 * overwritten: by `y` or, for a tile, by the outputs' rows. */
void oplib_tile_pack_relative_s8(int8_t *vectors, const oplib_attention_relative_s8_params *params);
void oplib_tile_class_values_s8(int8_t *values, int32_t tokens,
                                const oplib_attention_relative_s8_params *params);
void oplib_tile_relative_products_s8(const void *query, const oplib_relative_queries *queries,
                                     const int8_t *vectors, void *sums, void *products,
                                     const oplib_attention_relative_s8_params *params);
void oplib_tile_relative_scores_s8(const void *query, const int8_t *keys, int32_t tokens,
                                   int8_t *scores, const void *sums,
                                   const oplib_attention_relative_s8_params *params);
void oplib_tile_relative_weights_s8(void *weights, const oplib_relative_queries *queries,
                                    int32_t tokens, int32_t totals[OPLIB_TILE_TOKENS], void *row,
                                    void *sums, void *by_distance,
                                    const oplib_attention_relative_s8_params *params);
void oplib_tile_attention_relative_s8(const void *query, int32_t token, const int8_t *keys,
                                      const int8_t *values, const int8_t *vectors, int32_t tokens,
                                      int8_t *y, int32_t stride, void *scratch,
                                      const oplib_attention_relative_s8_params *params);

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

/* The rows of a panel's tiles; only the last may have fewer than four. */
typedef struct {
    oplib_tile_rows whole, last;
} oplib_panel_rows;

OPLIB_INLINE oplib_panel_rows oplib_rows_of_panel(int32_t stride, int32_t tokens)
{
    const oplib_panel_rows rows = {oplib_rows(stride, OPLIB_TILE_TOKENS),
                                   oplib_rows(stride, (tokens - 1) % OPLIB_TILE_TOKENS + 1)};
    return rows;
}

/* Epilogue of a product: stores the results of channels `channel` and `channel` + `second`, where
 * `second` is 0 for the padding after an odd last channel; a writer therefore stores channel +
 * second first. multipliers: two, one per channel. place: distance of the tile's results from those
 * of the panel's first tile, in elements. at: rows of the tile, if it has any. target: as passed to
 * oplib_each_block. */
typedef void (*oplib_block_writer)(oplib_block_4x2 sum, const int32_t *multipliers, int32_t channel,
                                   int32_t second, int32_t place, const oplib_tile_rows *at,
                                   const void *target);

/* Hand the channels [first, first + count) of a panel's product to a writer; `first` is even.
 * step: elements between the results of two tiles. rows: where the writer stores rows, or NULL */
OPLIB_INLINE void oplib_each_block(const void *panel, int32_t tokens, int32_t step, int32_t first,
                                   int32_t count, const oplib_linear_s8_params *params,
                                   oplib_block_writer writer, const oplib_panel_rows *rows,
                                   const void *target)
{
    const int32_t quads = oplib_quads(params->in_features);
    const int32_t last_place = (oplib_quads(tokens) - 1) * step;
    const oplib_tile_rows *const whole = rows == NULL ? NULL : &rows->whole;
    const oplib_tile_rows *const last = rows == NULL ? NULL : &rows->last;
    const char *tile = panel;
#if OPLIB_WEIGHTS_OUTSIDE
    const int8_t *weight = params->weight + OPLIB_QUAD * quads * first;
    const int32_t *requant = params->requant + 2 * first;
    int32_t channel = 0, place = 0;
    do { /* one loop over channels and tiles: nested ones would need more registers */
        writer(oplib_product_4x2(tile, weight, quads, requant[0], requant[1]), requant + 2, channel,
               oplib_is_less(channel + 1, count), place, place == last_place ? last : whole,
               target);
        if (place != last_place) {
            tile += OPLIB_QUAD_BYTES * quads;
            place += step;
        } else {
            tile = panel;
            place = 0;
            weight += OPLIB_WEIGHT_QUAD_BYTES * quads;
            requant += 4;
            channel += 2;
        }
    } while (channel < count);
#else
    for (int32_t place = 0; place <= last_place; place += step, tile += OPLIB_QUAD_BYTES * quads) {
        const oplib_tile_rows *const at = place == last_place ? last : whole;
        const int8_t *weight = params->weight + OPLIB_QUAD * quads * first;
        const int32_t *requant = params->requant + 2 * first;
        for (int32_t channel = 0; channel < count; channel += 2) {
            writer(oplib_product_4x2(tile, weight, quads, requant[0], requant[1]), requant + 2,
                   channel, oplib_is_less(channel + 1, count), place, at, target);
            weight += OPLIB_WEIGHT_QUAD_BYTES * quads;
            requant += 4;
        }
    }
#endif
}

/* A requantised word, mapped by the table around `table_middle` if `by_table`; `by_table` is a
 * constant where this is inlined. */
OPLIB_INLINE int32_t oplib_requantize_mapped(int32_t acc, int32_t multiplier, int32_t zero_point,
                                             int by_table, const int8_t *table_middle)
{
    const int32_t value = oplib_requantize_word(acc, multiplier, zero_point);
    return by_table != 0 ? table_middle[value] : value;
}

/* Replace the sums of four rows of weights by the multipliers of their outputs. */
OPLIB_INLINE void oplib_output_multipliers(int32_t sums[OPLIB_TILE_TOKENS],
                                           const oplib_attention_s8_params *params)
{
    for (int32_t t = 0; t < OPLIB_TILE_TOKENS; t++) {
        const uint32_t sum = (uint32_t)sums[t];
        sums[t] = (int32_t)((params->value_numerator + sum / 2u) / sum);
    }
}

/* Store two channels of four rows, each with a multiplier of its own; `second` as for a writer. */
OPLIB_INLINE void oplib_write_rows(oplib_block_4x2 sum, const int32_t m[OPLIB_TILE_TOKENS],
                                   int32_t z, int8_t *y, int32_t second, oplib_tile_rows at)
{
    const int8_t t0c1 = oplib_requantize(sum.t0c1, m[0], z);
    const int8_t t0c0 = oplib_requantize(sum.t0c0, m[0], z);
    const int8_t t1c1 = oplib_requantize(sum.t1c1, m[1], z);
    const int8_t t1c0 = oplib_requantize(sum.t1c0, m[1], z);
    const int8_t t2c1 = oplib_requantize(sum.t2c1, m[2], z);
    const int8_t t2c0 = oplib_requantize(sum.t2c0, m[2], z);
    const int8_t t3c1 = oplib_requantize(sum.t3c1, m[3], z);
    const int8_t t3c0 = oplib_requantize(sum.t3c0, m[3], z);
    int8_t *const next = y + second;
    next[0] = t0c1;
    y[0] = t0c0;
    next[at.t1] = t1c1;
    y[at.t1] = t1c0;
    next[at.t2] = t2c1;
    y[at.t2] = t2c0;
    next[at.t3] = t3c1;
    y[at.t3] = t3c0;
}

/* One to three bytes as a word, zeros after them. */
OPLIB_INLINE uint32_t oplib_last_bytes(const void *from, int32_t count)
{
    const uint8_t *const x = from;
    uint32_t word = 0u;
    for (int32_t i = 0; i < count; i++)
        word |= (uint32_t)x[i] << 8 * i;
    return word;
}

/* Index of a channel in a tile, in int16: token t is at 2 * t, channel + 1 at 8 + 2 * t. */
OPLIB_INLINE int32_t oplib_tile_channel(int32_t channel)
{
    return (channel & ~3) * 4 + ((channel >> 1) & 1);
}

/* Index of any feature in a tile, as above. */
OPLIB_INLINE int32_t oplib_tile_feature(int32_t feature)
{
    return oplib_tile_channel(feature) + (feature & 1) * 8;
}

/* Tokens of the panel that begins at token `first`: `panel`, or what is left. */
OPLIB_INLINE int32_t oplib_panel_tokens(int32_t first, int32_t tokens, int32_t panel)
{
    return tokens - first < panel ? tokens - first : panel;
}

/* Tokens of the tile that begins at token `first`: four, or what is left. */
OPLIB_INLINE int32_t oplib_tile_tokens(int32_t first, int32_t tokens)
{
    return oplib_panel_tokens(first, tokens, OPLIB_TILE_TOKENS);
}

#endif
