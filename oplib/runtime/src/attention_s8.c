/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

/* Pack one head's keys, rows `stride` apart, as weights: two tokens per group, zeros after the
 * last. */
static void pack_keys(const int8_t *k, int32_t stride, int32_t tokens, int32_t dim, int8_t *keys)
{
    const int32_t padded = oplib_padded(dim);
    for (int32_t t = 0; t < tokens; t += 2, k += 2 * stride) {
        const int8_t *next = t + 1 < tokens ? k + stride : k;
        for (int32_t c = 0; c < padded; c += OPLIB_QUAD, keys += OPLIB_WEIGHT_QUAD_BYTES) {
            for (int32_t i = 0; i < OPLIB_QUAD; i++) {
                int8_t *pair = keys + (i & 1) * 4 + (i & 2);
                pair[0] = c + i < dim ? k[c + i] : 0;
                pair[1] = c + i < dim ? next[c + i] : 0;
            }
        }
    }
}

/* Pack one head's values as weights: two channels per group, zeros after the last token. */
static void pack_values(const int8_t *v, int32_t stride, int32_t tokens, int32_t dim,
                        int8_t *values)
{
    const int32_t quads = oplib_quads(tokens);
    for (int32_t c = 0; c < dim; c += 2) {
        const int8_t *value = v + c;
        const int32_t second = c + 1 < dim;
        for (int32_t t = 0; t < OPLIB_QUAD * quads; t++, value += stride) {
            int8_t *pair = values + (t & ~3) * 2 + (t & 1) * 4 + (t & 2);
            pair[0] = t < tokens ? value[0] : 0;
            pair[1] = t < tokens ? value[second] : 0;
        }
        values += OPLIB_WEIGHT_QUAD_BYTES * quads;
    }
}

void oplib_attention_s8(const int8_t *q, const int8_t *k, const int8_t *v, int8_t *y, void *scratch,
                        int32_t tokens, const oplib_attention_s8_params *params)
{
    const int32_t dim = params->head_dim, stride = params->num_heads * dim;
    int8_t *const keys = scratch;
    int8_t *const values = keys + oplib_weight_bytes(dim, tokens);
    char *const query = (char *)values + oplib_weight_bytes(tokens, dim);
    for (int32_t h = 0; h < params->num_heads; h++) {
        pack_keys(k + h * dim, stride, tokens, dim, keys);
        pack_values(v + h * dim, stride, tokens, dim, values);
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
