/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

/* Copy the products with the vectors from `start` on to the places along an axis: four words for
 * each. */
OPLIB_APART
static void spread(const oplib_memory_s32 *products, int32_t start, const oplib_relative_axis *axis,
                   int32_t class_queries, oplib_memory_s32 *by_place,
                   const oplib_attention_relative_s8_params *params)
{
    const int32_t reach = oplib_relative_reach(params);
    for (int32_t t = class_queries; t < OPLIB_TILE_TOKENS; t++) {
        int32_t distance = reach - axis->place[t]; /* from the first vector */
        const oplib_memory_s32 *source =
            products + OPLIB_TILE_TOKENS * ((distance < 0 ? 0 : distance) - start) + t;
        oplib_memory_s32 *out = by_place + t;
        for (int32_t i = params->grid_size; i > 0; i--, out += OPLIB_TILE_TOKENS, distance++) {
            *out = *source;
            if ((uint32_t)distance < 2u * (uint32_t)reach) /* else the next has this vector too */
                source += OPLIB_TILE_TOKENS;
        }
    }
}

void oplib_tile_relative_products_s8(const void *query, const oplib_relative_queries *queries,
                                     const int8_t *vectors, void *sums, void *products,
                                     const oplib_attention_relative_s8_params *params)
{
    const int32_t quads = oplib_quads(params->attention.head_dim), grid = params->grid_size;
    const int32_t pair_bytes = OPLIB_WEIGHT_QUAD_BYTES * quads;
    const oplib_relative_axis *axis = &queries->rows;
    oplib_memory_s32 *by_place = sums;
    const oplib_memory_s32 *const sources = products;
    oplib_tile_products_s32(query, vectors, quads, pair_bytes, 1, products);
    for (int32_t t = 0; t < OPLIB_TILE_TOKENS; t++)
        by_place[t] = sources[t] + sources[OPLIB_TILE_TOKENS + t];
    const int32_t with_class = by_place[0];
    vectors += pair_bytes;
    by_place += OPLIB_TILE_TOKENS;
    for (int32_t a = 0; a < 2; a++, axis = &queries->columns) {
        const int32_t start = axis->first & ~1;
        oplib_tile_products_s32(query, vectors + pair_bytes / 2 * start, quads, pair_bytes,
                                (axis->last - start) / 2 + 1, products);
        spread(sources, start, axis, queries->class_queries, by_place, params);
        /* all pairs of a class token's query have the same vectors: its columns stand for them */
        for (int32_t i = 0; i < grid && queries->class_queries != 0; i++)
            by_place[OPLIB_TILE_TOKENS * i] = a == 0 ? 0 : with_class;
        vectors += oplib_weight_bytes(params->attention.head_dim, oplib_relative_distances(params));
        by_place += OPLIB_TILE_TOKENS * grid;
    }
    for (int32_t t = 0; t < OPLIB_TILE_TOKENS; t++)
        by_place[t] = 0;
}
