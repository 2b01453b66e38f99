/* SPDX-License-Identifier: Apache-2.0 */
#include "attention_block.h"

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
                          const oplib_block_areas *areas, const oplib_block_steps *steps,
                          const oplib_attention_block_s8_params *params)
{
    const int32_t dim = params->attention->head_dim, all = oplib_block_values(tokens, params);
    const int32_t before = params->attention->num_heads - params->group;
    const int32_t row = params->norm->features * params->item_bytes;
    for (int32_t t = 0; t < tokens; t += params->read_panel) {
        const int32_t rows = oplib_panel_tokens(t, tokens, params->read_panel);
        const char *panel = read_tokens(x + t * row, rows, areas->queries, params);
        for (int32_t h = 0; h < heads; h++) {
            const int32_t first = (head + h) * dim;
            oplib_tile_linear_key_s8(panel, areas->keys + h * areas->key_bytes + t * dim, rows,
                                     first, dim, params->k);
            oplib_tile_linear_value_s8(panel, areas->values + h * areas->value_bytes + 2 * t, rows,
                                       all, first, dim, params->v);
        }
        if (head < before)
            oplib_tile_linear_s8(panel, areas->slots + t * before * dim + head * dim, before * dim,
                                 rows, head * dim, heads * dim, params->q);
    }
    for (int32_t h = 0; h < heads && steps->complete_values != NULL; h++)
        steps->complete_values(areas->values + h * areas->value_bytes, tokens, params->relative);
}

/* Compute the outputs of the heads [head, head + heads) over their queries in the slots. */
static void attend_slots(int32_t tokens, int32_t head, int32_t heads,
                         const oplib_block_areas *areas, const oplib_block_steps *steps,
                         const oplib_attention_block_s8_params *params)
{
    const int32_t dim = params->attention->head_dim;
    const int32_t stride = (params->attention->num_heads - params->group) * dim;
    for (int32_t t = 0; t < tokens; t += OPLIB_TILE_TOKENS) {
        for (int32_t h = 0; h < heads; h++) {
            int8_t *slot = areas->slots + t * stride + (head + h) * dim;
            oplib_tile_pack_s8(slot, stride, oplib_tile_tokens(t, tokens), dim, areas->queries);
            steps->rows(areas->queries, t, areas->keys + h * areas->key_bytes,
                        areas->values + h * areas->value_bytes, tokens, slot, stride, areas,
                        params);
        }
    }
}

/* The last group's outputs for the tile of tokens that begins at `token`, after those that wait in
 * the slots, into a tile of the projection's input. */
static void attend_last(char *queries, int32_t token, int32_t tokens, char *outputs,
                        const oplib_block_areas *areas, const oplib_block_steps *steps,
                        const oplib_attention_block_s8_params *params)
{
    const int32_t dim = params->attention->head_dim;
    const int32_t before = (params->attention->num_heads - params->group) * dim;
    if (before > 0)
        oplib_tile_pack_s8(areas->slots + token * before, before, oplib_tile_tokens(token, tokens),
                           before, outputs);
    for (int32_t h = 0; h < params->group; h++)
        steps->tile(queries + OPLIB_FEATURE_BYTES * h * dim, token,
                    areas->keys + h * areas->key_bytes, areas->values + h * areas->value_bytes,
                    tokens, outputs + OPLIB_FEATURE_BYTES * (before + h * dim), areas, params);
}

/* The last group, panel by panel: queries, outputs, projection of all heads, residual in place. */
static void project_outputs(char *x, int32_t tokens, const oplib_block_areas *areas,
                            const oplib_block_steps *steps,
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
                        outputs + oplib_panel_bytes(i, width), areas, steps, params);
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

void oplib_run_attention_block(void *x, void *scratch, int32_t tokens,
                               const oplib_attention_block_s8_params *params,
                               const oplib_block_steps *steps)
{
    int8_t *const base = scratch;
    const int32_t dim = params->attention->head_dim;
    const oplib_block_areas areas = {
        base + params->keys_offset,
        base + params->values_offset,
        dim * oplib_padded(tokens),
        dim * oplib_padded(oplib_block_values(tokens, params)),
        base + params->vectors_offset,
        base + params->slots_offset,
        (char *)base + params->queries_offset,
        (char *)base + params->work_offset,
    };
    const int32_t last = params->attention->num_heads - params->group;
    for (int32_t head = 0; head < last; head += params->group) {
        const int32_t heads = last - head < params->group ? last - head : params->group;
        project_heads(x, tokens, head, heads, &areas, steps, params);
        attend_slots(tokens, head, heads, &areas, steps, params);
    }
    project_heads(x, tokens, last, params->group, &areas, steps, params);
    project_outputs(x, tokens, &areas, steps, params);
}

static void attend_rows(char *query, int32_t token, const int8_t *keys, const int8_t *values,
                        int32_t tokens, int8_t *y, int32_t stride, const oplib_block_areas *areas,
                        const oplib_attention_block_s8_params *params)
{
    oplib_tile_attention_rows_s8(query, keys, values, tokens, y, stride,
                                 oplib_tile_tokens(token, tokens), areas->work, params->attention);
}

static void attend_tile(char *query, int32_t token, const int8_t *keys, const int8_t *values,
                        int32_t tokens, void *out, const oplib_block_areas *areas,
                        const oplib_attention_block_s8_params *params)
{
    (void)token;
    oplib_tile_attention_tile_s8(query, keys, values, tokens, out, areas->work, params->attention);
}

void oplib_attention_block_s8(void *x, void *scratch, int32_t tokens,
                              const oplib_attention_block_s8_params *params)
{
    static const oplib_block_steps steps = {NULL, attend_rows, attend_tile};
    oplib_run_attention_block(x, scratch, tokens, params, &steps);
}
