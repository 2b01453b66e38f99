/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

typedef struct {
    int8_t *keys, *values; /* current group's, packed as weights */
    int8_t *slots;         /* (tokens, heads before the last group * head_dim) */
    char *queries;         /* one panel */
    char *work;            /* working memory for one panel of tokens */
} scratch_areas;

/* Normalise tokens and, if there is a factor, multiply them by it; return the panel. */
static const char *read_tokens(const char *x, int32_t rows, char *work,
                               const oplib_attention_block_s8_params *params)
{
    char *const rank = work + oplib_panel_bytes(rows, params->norm->features);
    params->norm_kernel(x, rows, work, params->norm);
    if (params->qkv_factor == NULL)
        return work;
    params->qkv_factor_kernel(work, rank, rows, 0, params->qkv_factor->out_features,
                              params->qkv_factor);
    return rank;
}

/* Project keys and values of the heads [head, head + heads) for all tokens, and their queries into
 * slots unless they are the last group's. */
static void project_heads(const char *x, int32_t tokens, int32_t head, int32_t heads,
                          const scratch_areas *areas, const oplib_attention_block_s8_params *params)
{
    const int32_t dim = params->attention->head_dim, head_bytes = oplib_padded(tokens) * dim;
    const int32_t before = params->attention->num_heads - params->group;
    const int32_t row = params->norm->features * params->item_bytes;
    for (int32_t t = 0; t < tokens; t += params->read_panel) {
        const int32_t rows = oplib_panel_tokens(t, tokens, params->read_panel);
        const char *panel = read_tokens(x + t * row, rows, areas->queries, params);
        for (int32_t h = 0; h < heads; h++) {
            const int32_t first = (head + h) * dim;
            oplib_tile_linear_key_s8(panel, areas->keys + h * head_bytes + t * dim, rows, first,
                                     dim, params->k);
            oplib_tile_linear_value_s8(panel, areas->values + h * head_bytes + 2 * t, rows, tokens,
                                       first, dim, params->v);
        }
        if (head < before)
            oplib_tile_linear_s8(panel, areas->slots + t * before * dim + head * dim, before * dim,
                                 rows, head * dim, heads * dim, params->q);
    }
}

/* Compute the outputs of the heads [head, head + heads) over their queries in the slots. */
static void attend_slots(int32_t tokens, int32_t head, int32_t heads, const scratch_areas *areas,
                         const oplib_attention_block_s8_params *params)
{
    const int32_t dim = params->attention->head_dim, head_bytes = oplib_padded(tokens) * dim;
    const int32_t stride = (params->attention->num_heads - params->group) * dim;
    for (int32_t t = 0; t < tokens; t += OPLIB_TILE_TOKENS) {
        const int32_t rows = oplib_tile_tokens(t, tokens);
        for (int32_t h = 0; h < heads; h++) {
            int8_t *slot = areas->slots + t * stride + (head + h) * dim;
            oplib_tile_pack_s8(slot, stride, rows, dim, areas->queries);
            oplib_tile_attention_rows_s8(areas->queries, areas->keys + h * head_bytes,
                                         areas->values + h * head_bytes, tokens, slot, stride, rows,
                                         areas->work, params->attention);
        }
    }
}

/* The last group's outputs for the tile of tokens that begins at `token`, after those that wait in
 * the slots, into a tile of the projection's input. */
static void attend_last(const char *queries, int32_t token, int32_t tokens, char *outputs,
                        const scratch_areas *areas, const oplib_attention_block_s8_params *params)
{
    const int32_t dim = params->attention->head_dim, head_bytes = oplib_padded(tokens) * dim;
    const int32_t before = (params->attention->num_heads - params->group) * dim;
    if (before > 0)
        oplib_tile_pack_s8(areas->slots + token * before, before, oplib_tile_tokens(token, tokens),
                           before, outputs);
    for (int32_t h = 0; h < params->group; h++)
        oplib_tile_attention_tile_s8(queries + OPLIB_FEATURE_BYTES * h * dim,
                                     areas->keys + h * head_bytes, areas->values + h * head_bytes,
                                     tokens, outputs + OPLIB_FEATURE_BYTES * (before + h * dim),
                                     areas->work, params->attention);
}

/* The last group, panel by panel: queries, outputs, projection of all heads, residual in place. */
static void project_outputs(char *x, int32_t tokens, const scratch_areas *areas,
                            const oplib_attention_block_s8_params *params)
{
    const int32_t width = params->attention->num_heads * params->attention->head_dim;
    const int32_t last = params->group * params->attention->head_dim;
    const int32_t features = params->norm->features;
    char *const outputs = areas->work + params->outputs_offset;
    for (int32_t t = 0; t < tokens; t += params->panel) {
        const int32_t rows = oplib_panel_tokens(t, tokens, params->panel);
        const char *panel = read_tokens(x, rows, areas->work, params);
        oplib_tile_linear_tile_s8(panel, areas->queries, rows, width - last, last, params->q);
        for (int32_t i = 0; i < rows; i += OPLIB_TILE_TOKENS)
            attend_last(areas->queries + oplib_panel_bytes(i, last), t + i, tokens,
                        outputs + oplib_panel_bytes(i, width), areas, params);
        panel = outputs;
        if (params->proj_factor != NULL) {
            params->proj_factor_kernel(outputs, areas->work, rows, 0,
                                       params->proj_factor->out_features, params->proj_factor);
            panel = areas->work;
        }
        params->add_kernel(panel, x, features, rows, params->proj, params->add);
        x += rows * features * params->item_bytes;
    }
}

void oplib_attention_block_s8(void *x, void *scratch, int32_t tokens,
                              const oplib_attention_block_s8_params *params)
{
    int8_t *const base = scratch;
    const scratch_areas areas = {
        base + params->keys_offset,         base + params->values_offset,
        base + params->slots_offset,        (char *)base + params->queries_offset,
        (char *)base + params->work_offset,
    };
    const int32_t last = params->attention->num_heads - params->group;
    for (int32_t head = 0; head < last; head += params->group) {
        const int32_t heads = last - head < params->group ? last - head : params->group;
        project_heads(x, tokens, head, heads, &areas, params);
        attend_slots(tokens, head, heads, &areas, params);
    }
    project_heads(x, tokens, last, params->group, &areas, params);
    project_outputs(x, tokens, &areas, params);
}
