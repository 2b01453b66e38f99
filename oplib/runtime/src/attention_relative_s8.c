/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

void oplib_attention_relative_s8(const int8_t *q, const int8_t *k, const int8_t *v, int8_t *y,
                                 void *scratch, int32_t tokens,
                                 const oplib_attention_relative_s8_params *params)
{
    const int32_t dim = params->attention.head_dim, stride = params->attention.num_heads * dim;
    const int32_t all = oplib_relative_values(tokens, params);
    int8_t *const keys = scratch;
    int8_t *const values = keys + oplib_weight_bytes(dim, tokens);
    int8_t *const vectors = values + oplib_weight_bytes(all, dim);
    char *const query = (char *)vectors + oplib_relative_bytes(params);
    oplib_tile_pack_relative_s8(vectors, params);
    for (int32_t h = 0; h < params->attention.num_heads; h++) {
        oplib_tile_pack_keys_s8(k + h * dim, stride, tokens, dim, keys);
        oplib_tile_pack_values_s8(v + h * dim, stride, tokens, dim, 2 * oplib_padded(all), values);
        oplib_tile_class_values_s8(values, tokens, params);
        for (int32_t t = 0; t < tokens; t += OPLIB_TILE_TOKENS) {
            const int32_t at = t * stride + h * dim;
            /* these queries are no longer needed: y may overwrite them */
            oplib_tile_pack_s8(q + at, stride, oplib_tile_tokens(t, tokens), dim, query);
            oplib_tile_attention_relative_s8(query, t, keys, values, vectors, tokens, y + at,
                                             stride, query + oplib_tile_bytes(dim), params);
        }
    }
}
