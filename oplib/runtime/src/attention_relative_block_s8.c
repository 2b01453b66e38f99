/* SPDX-License-Identifier: Apache-2.0 */
#include "attention_block.h"

static void attend_rows(char *query, int32_t token, const int8_t *keys, const int8_t *values,
                        int32_t tokens, int8_t *y, int32_t stride, const oplib_block_areas *areas,
                        const oplib_attention_block_s8_params *params)
{
    oplib_tile_attention_relative_s8(query, token, keys, values, areas->vectors, tokens, y, stride,
                                     areas->work, params->relative);
}

/* The outputs' rows take the place of the queries, which are twice as wide. */
static void attend_tile(char *query, int32_t token, const int8_t *keys, const int8_t *values,
                        int32_t tokens, void *out, const oplib_block_areas *areas,
                        const oplib_attention_block_s8_params *params)
{
    const int32_t dim = params->attention->head_dim;
    int8_t *const outputs = (int8_t *)query;
    oplib_tile_attention_relative_s8(query, token, keys, values, areas->vectors, tokens, outputs,
                                     dim, areas->work, params->relative);
    oplib_tile_pack_s8(outputs, dim, oplib_tile_tokens(token, tokens), dim, out);
}

void oplib_attention_relative_block_s8(void *x, void *scratch, int32_t tokens,
                                       const oplib_attention_block_s8_params *params)
{
    static const oplib_block_steps steps = {oplib_tile_class_values_s8, attend_rows, attend_tile};
    oplib_tile_pack_relative_s8((int8_t *)scratch + params->vectors_offset, params->relative);
    oplib_run_attention_block(x, scratch, tokens, params, &steps);
}
