/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

#define SUM_BITS 15 /* a sum of weights is a feature of a tile, int16 */

/* Sums of weights for each place along an axis, with zeros before and behind them: every vector has
 * its place among them, for any query. */
enum { AROUND = 4 };

static int32_t places_before(int32_t grid)
{
    return oplib_even(grid) + AROUND;
}

static int32_t all_places(int32_t grid)
{
    return 3 * oplib_even(grid) + 2 * AROUND;
}

/* Shift one token's weights in a tile to the right and copy them into a row; return their sum. */
OPLIB_FAST(oplib_tile_relative_weights_s8)
static int32_t shift_weights(char *tile, int32_t tokens, int32_t shift, char *row)
{
    const uint32_t mask = 0x00010001u * (0xffffu >> shift);
    uint32_t sums = 0u; /* of both halves, which do not carry into each other */
    for (int32_t quads = oplib_quads(tokens); quads > 0; quads--) {
        const uint32_t even = oplib_load_aligned_u32(tile) >> shift & mask;
        const uint32_t odd = oplib_load_aligned_u32(tile + OPLIB_QUAD_ODD) >> shift & mask;
        sums += even + odd;
        oplib_store_u32(tile, even);
        oplib_store_u32(tile + OPLIB_QUAD_ODD, odd);
        oplib_store_u32(row, oplib_halves((int32_t)even, (int32_t)odd));
        oplib_store_u32(row + 4, oplib_high_halves(even, odd));
        tile += OPLIB_QUAD_BYTES;
        row += 8;
    }
    return (int32_t)((sums & 0xffffu) + (sums >> 16));
}

/* The halves of a word that belong to `count` columns. */
static uint32_t mask_of(int32_t count)
{
    return count > 1 ? 0xffffffffu : count > 0 ? 0xffffu : 0u;
}

/* Add a grid of weights up by row and by column, eight columns at a time. Halves of words do not
 * carry into each other. What is read behind the last column is not added. */
OPLIB_FAST(oplib_tile_relative_weights_s8)
static void sum_grid(const char *weights, int32_t grid, oplib_memory_u16 *by_row, char *by_column)
{
    for (int32_t row = 0; row < grid; row++)
        by_row[row] = 0;
    for (int32_t left = grid; left > 0; left -= 8, weights += 16, by_column += 16) {
        const uint32_t m0 = mask_of(left), m1 = mask_of(left - 2);
        const uint32_t m2 = mask_of(left - 4), m3 = mask_of(left - 6);
        const char *x = weights;
        uint32_t c0 = 0u, c1 = 0u, c2 = 0u, c3 = 0u;
        for (int32_t row = 0; row < grid; row++, x += 2 * grid) {
            const uint32_t w0 = oplib_load_u32(x) & m0, w1 = oplib_load_u32(x + 4) & m1;
            const uint32_t w2 = oplib_load_u32(x + 8) & m2, w3 = oplib_load_u32(x + 12) & m3;
            const uint32_t sum = w0 + w1 + w2 + w3;
            c0 += w0;
            c1 += w1;
            c2 += w2;
            c3 += w3;
            by_row[row] = (uint16_t)(by_row[row] + sum + (sum >> 16));
        }
        oplib_store_u32(by_column, c0);
        oplib_store_u32(by_column + 4, c1);
        oplib_store_u32(by_column + 8, c2);
        oplib_store_u32(by_column + 12, c3);
    }
}

/* Add sums of places beyond the reach of a query to those at its ends, whose vectors they share. */
static void clip_sums(oplib_memory_u16 *by_place, int32_t grid, int32_t place, int32_t reach)
{
    for (int32_t i = 0; i < place - reach; i++) {
        by_place[place - reach] = (uint16_t)(by_place[place - reach] + by_place[i]);
        by_place[i] = 0;
    }
    for (int32_t i = place + reach + 1; i < grid; i++) {
        by_place[place + reach] = (uint16_t)(by_place[place + reach] + by_place[i]);
        by_place[i] = 0;
    }
}

/* Copy consecutive sums, the features of one token, into quads of a tile. */
OPLIB_FAST(oplib_tile_relative_weights_s8)
static void copy_sums(const void *sums, int32_t quads, char *tile)
{
    const char *x = sums;
    for (; quads > 0; quads--, x += 8, tile += OPLIB_QUAD_BYTES) {
        const uint32_t low = oplib_load_u32(x), high = oplib_load_u32(x + 4);
        oplib_store_u32(tile, oplib_halves((int32_t)low, (int32_t)high));
        oplib_store_u32(tile + OPLIB_QUAD_ODD, oplib_high_halves(low, high));
    }
}

static void clear(void *words, int32_t bytes)
{
    for (int32_t i = 0; i < bytes; i += 4)
        oplib_store_u32((char *)words + i, 0u);
}

void oplib_tile_relative_weights_s8(void *weights, const oplib_relative_queries *queries,
                                    int32_t tokens, int32_t totals[OPLIB_TILE_TOKENS], void *row,
                                    void *sums, void *by_distance,
                                    const oplib_attention_relative_s8_params *params)
{
    const int32_t grid = params->grid_size, reach = oplib_relative_reach(params);
    const int32_t padded = oplib_padded(tokens), all = oplib_relative_values(tokens, params);
    const int32_t quads = oplib_quads(oplib_relative_distances(params));
    const int32_t first = queries->rows.first / OPLIB_QUAD;
    const int32_t last = queries->columns.last / OPLIB_QUAD;
    oplib_memory_u16 *const by_row = (oplib_memory_u16 *)sums + places_before(grid);
    oplib_memory_u16 *const by_column = by_row + all_places(grid);
    oplib_memory_s16 *const tile = weights;
    clear(sums, 4 * all_places(grid));
    if (all > padded)
        clear((char *)weights + oplib_tile_bytes(padded), OPLIB_QUAD_BYTES);
    for (int32_t t = 0; t < OPLIB_TILE_TOKENS; t++) {
        const int32_t bits = 32 - oplib_count_leading_zeros((uint32_t)totals[t]);
        const int32_t shift = bits > SUM_BITS ? bits - SUM_BITS : 0;
        const int is_class = t < queries->class_queries;
        const int32_t r = queries->rows.place[t], c = queries->columns.place[t];
        char *const token = (char *)weights + OPLIB_TOKEN_BYTES * t;
        char *const by_vector = (char *)by_distance + OPLIB_TOKEN_BYTES * t;
        const int32_t sum = shift_weights(token, tokens, shift, row);
        if (shift > 0)
            totals[t] = sum;
        /* all pairs of the class token's query have its vectors, and one pair of any other */
        for (int32_t feature = tokens; feature < all; feature++)
            tile[oplib_tile_feature(feature) + 2 * t] =
                is_class ? (int16_t)sum : *(const oplib_memory_s16 *)row;
        if (!is_class) {
            sum_grid((const char *)row + 2 * (tokens - grid * grid), grid, by_row,
                     (char *)by_column);
            clip_sums(by_row, grid, r, reach);
            clip_sums(by_column, grid, c, reach);
        }
        copy_sums(by_row + OPLIB_QUAD * first - reach + r, quads - first,
                  by_vector + OPLIB_QUAD_BYTES * first);
        copy_sums(by_column - reach + c, last + 1, by_vector + OPLIB_QUAD_BYTES * quads);
    }
}
