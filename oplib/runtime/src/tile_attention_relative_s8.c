/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

/* Locate the queries from `token` on. */
OPLIB_APART
static void locate_queries(int32_t token, int32_t tokens,
                           const oplib_attention_relative_s8_params *params,
                           oplib_relative_queries *queries)
{
    const int32_t grid = params->grid_size, reach = oplib_relative_reach(params);
    const int32_t first = tokens - grid * grid;
    oplib_relative_axis *const axes[2] = {&queries->rows, &queries->columns};
    queries->class_queries = token < first;
    for (int32_t a = 0; a < 2; a++) {
        axes[a]->place[0] = 0; /* for a class token */
        axes[a]->first = 2 * reach;
        axes[a]->last = 0;
        for (int32_t t = queries->class_queries; t < OPLIB_TILE_TOKENS; t++) {
            const int32_t patch = (token + t < tokens ? token + t : tokens - 1) - first;
            const int32_t place = a == 0 ? patch / grid : patch % grid;
            const int32_t lowest = oplib_relative_index(0, place, reach);
            const int32_t highest = oplib_relative_index(grid - 1, place, reach);
            axes[a]->place[t] = place;
            if (lowest < axes[a]->first)
                axes[a]->first = lowest;
            if (highest > axes[a]->last)
                axes[a]->last = highest;
        }
    }
}

/* Outputs of the weights over the products of the vectors, four words for each channel. */
OPLIB_FAST(oplib_tile_attention_relative_s8)
OPLIB_MICRO_KERNEL
OPLIB_APART
static void write_outputs(const void *weights, const int8_t *values, int32_t quads,
                          const oplib_memory_s32 *products, const int32_t m[OPLIB_TILE_TOKENS],
                          int8_t *y, oplib_tile_rows at, const oplib_attention_s8_params *params)
{
    for (int32_t c = 0; c < params->head_dim; c += 2, values += OPLIB_WEIGHT_QUAD_BYTES * quads) {
        const oplib_block_4x2 start = {products[0], products[4], products[1], products[5],
                                       products[2], products[6], products[3], products[7]};
        products += 2 * OPLIB_TILE_TOKENS;
        oplib_write_rows(oplib_add_product_4x2(start, weights, values, quads), m,
                         params->zero_point, y + c, oplib_is_less(c + 1, params->head_dim), at);
    }
}

void oplib_tile_attention_relative_s8(const void *query, int32_t token, const int8_t *keys,
                                      const int8_t *values, const int8_t *vectors, int32_t tokens,
                                      int8_t *y, int32_t stride, void *scratch,
                                      const oplib_attention_relative_s8_params *params)
{
    const oplib_attention_s8_params *const attention = &params->attention;
    const int32_t all = oplib_relative_values(tokens, params);
    char *const by_distance = (char *)scratch + oplib_tile_bytes(all);
    int8_t *const scores = (int8_t *)by_distance + oplib_relative_tile_bytes(params);
    int8_t *const row = scores + OPLIB_TILE_TOKENS * oplib_padded(tokens);
    int8_t *const sums = row + 2 * oplib_padded(tokens);
    int32_t m[OPLIB_TILE_TOKENS]; /* sums of weights until these are known */
    oplib_relative_queries queries;
    locate_queries(token, tokens, params, &queries);
    oplib_tile_relative_products_s8(query, &queries, vectors, sums, by_distance, params);
    oplib_tile_relative_scores_s8(query, keys, tokens, scores, sums, params);
    oplib_tile_softmax_s8(scores, tokens, scratch, row, m, &attention->softmax);
    oplib_tile_relative_weights_s8(scratch, &queries, tokens, m, row, sums, by_distance, params);
    oplib_output_multipliers(m, attention);
    const int8_t *const of_values = vectors + oplib_relative_key_bytes(params);
    const int32_t features = oplib_padded(oplib_relative_distances(params));
    /* vectors of rows from the first that the queries use, and of columns up to the last */
    const int32_t first = queries.rows.first / OPLIB_QUAD;
    const int32_t end = features / OPLIB_QUAD + queries.columns.last / OPLIB_QUAD + 1;
    oplib_tile_products_s32(by_distance + OPLIB_QUAD_BYTES * first,
                            of_values + OPLIB_WEIGHT_QUAD_BYTES * first, end - first, 4 * features,
                            (attention->head_dim + 1) / 2, scores);
    write_outputs(scratch, values, oplib_quads(all), (const oplib_memory_s32 *)(void *)scores, m, y,
                  oplib_rows(stride, oplib_tile_tokens(token, tokens)), attention);
}
