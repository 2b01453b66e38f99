/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

typedef struct {
    int8_t *keys, *values; /* of the heads at hand, in weight layout */
    int8_t *slots; /* (tokens, heads before the last group * head_dim): queries, then outputs */
    char *queries; /* tile; behind it the work of one tile of tokens */
    char *work;
} places;

/* Normalised tokens, behind the first factor where there is one; returns the tile. */
static const char *read_tokens(const int8_t *x, int32_t rows, char *work,
                               const oplib_attention_block_s8_params *p)
{
    char *const rank = work + 32 * oplib_quads(p->norm->features);
    oplib_tile_layer_norm_s8(x, rows, work, p->norm);
    if (p->qkv_factor == 0)
        return work;
    oplib_tile_linear_tile_s8(work, rank, 0, p->qkv_factor->out_features, p->qkv_factor);
    return rank;
}

/* Keys and values of the heads [head, head + heads) of all tokens, and their queries into slots. */
static void project(const int8_t *x, int32_t tokens, int32_t head, int32_t heads, const places *at,
                    const oplib_attention_block_s8_params *p)
{
    const int32_t dim = p->attention->head_dim, size = 4 * oplib_quads(tokens) * dim;
    const int32_t before = p->attention->num_heads - p->group;
    for (int32_t t = 0; t < tokens; t += 4) {
        const int32_t rows = oplib_tile_tokens(t, tokens);
        const char *tile = read_tokens(x + t * p->norm->features, rows, at->work, p);
        for (int32_t h = 0; h < heads; h++) {
            const int32_t first = (head + h) * dim;
            oplib_tile_linear_key_s8(tile, at->keys + h * size, t, first, dim, p->k);
            oplib_tile_linear_value_s8(tile, at->values + h * size, t, tokens, first, dim, p->v);
        }
        if (head < before)
            oplib_tile_linear_s8(tile, at->slots + t * before * dim + head * dim, before * dim,
                                 rows, head * dim, heads * dim, p->q);
    }
}

/* Outputs of the heads [head, head + heads) over their queries in the slots. */
static void attend(int32_t tokens, int32_t head, int32_t heads, const places *at,
                   const oplib_attention_block_s8_params *p)
{
    const int32_t dim = p->attention->head_dim, size = 4 * oplib_quads(tokens) * dim;
    const int32_t stride = (p->attention->num_heads - p->group) * dim;
    for (int32_t t = 0; t < tokens; t += 4) {
        const int32_t rows = oplib_tile_tokens(t, tokens);
        for (int32_t h = 0; h < heads; h++) {
            int8_t *slot = at->slots + t * stride + (head + h) * dim;
            oplib_tile_pack_s8(slot, stride, rows, dim, at->queries);
            oplib_tile_attention_rows_s8(at->queries, at->keys + h * size, at->values + h * size,
                                         tokens, slot, stride, rows, at->work, p->attention);
        }
    }
}

/* The last group, tile by tile: queries, outputs, projection of all heads, residual in place. */
static void finish(int8_t *x, int32_t tokens, const places *at,
                   const oplib_attention_block_s8_params *p)
{
    const int32_t dim = p->attention->head_dim, size = 4 * oplib_quads(tokens) * dim;
    const int32_t before = (p->attention->num_heads - p->group) * dim, n = p->norm->features;
    char *const outputs = at->work + p->outputs_offset;
    for (int32_t t = 0; t < tokens; t += 4) {
        const int32_t rows = oplib_tile_tokens(t, tokens);
        const char *tile = read_tokens(x + t * n, rows, at->work, p);
        oplib_tile_linear_tile_s8(tile, at->queries, before, p->group * dim, p->q);
        if (before > 0)
            oplib_tile_pack_s8(at->slots + t * before, before, rows, before, outputs);
        for (int32_t h = 0; h < p->group; h++)
            oplib_tile_attention_tile_s8(at->queries + 8 * h * dim, at->keys + h * size,
                                         at->values + h * size, tokens,
                                         outputs + 8 * (before + h * dim), at->work, p->attention);
        const char *last = outputs;
        if (p->proj_factor != 0) {
            oplib_tile_linear_tile_s8(outputs, at->work, 0, p->proj_factor->out_features,
                                      p->proj_factor);
            last = at->work;
        }
        oplib_tile_linear_add_s8(last, x + t * n, n, rows, p->proj, p->add);
    }
}

void oplib_attention_block_s8(int8_t *x, void *scratch, int32_t tokens,
                              const oplib_attention_block_s8_params *p)
{
    int8_t *const base = scratch;
    const places at = {base + p->keys_offset, base + p->values_offset, base + p->slots_offset,
                       (char *)base + p->queries_offset, (char *)base + p->work_offset};
    const int32_t last = p->attention->num_heads - p->group;
    for (int32_t head = 0; head < last; head += p->group) {
        const int32_t heads = last - head < p->group ? last - head : p->group;
        project(x, tokens, head, heads, &at, p);
        attend(tokens, head, heads, &at, p);
    }
    project(x, tokens, last, p->group, &at, p);
    finish(x, tokens, &at, p);
}
