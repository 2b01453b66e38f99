/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

void oplib_attention_s8(const int8_t *q, const int8_t *k, const int8_t *v, int8_t *y, void *scratch,
                        int32_t tokens, const oplib_attention_s8_params *params)
{
    const int32_t dim = params->head_dim, stride = params->num_heads * dim;
    int8_t *const keys = scratch;
    int8_t *const values = keys + oplib_weight_bytes(dim, tokens);
    char *const query = (char *)values + oplib_weight_bytes(tokens, dim);
    for (int32_t h = 0; h < params->num_heads; h++) {
        oplib_tile_pack_keys_s8(k + h * dim, stride, tokens, dim, keys);
        oplib_tile_pack_values_s8(v + h * dim, stride, tokens, dim, 2 * oplib_padded(tokens),
                                  values);
        for (int32_t t = 0; t < tokens; t += OPLIB_TILE_TOKENS) {
            const int32_t rows = oplib_tile_tokens(t, tokens);
            const int32_t at = t * stride + h * dim;
            /* these queries are no longer needed: y may overwrite them */
            oplib_tile_pack_s8(q + at, stride, rows, dim, query);
            oplib_tile_attention_rows_s8(query, keys, values, tokens, y + at, stride, rows,
                                         query + oplib_tile_bytes(dim), params);
        }
    }
}
