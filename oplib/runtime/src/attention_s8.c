/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

/* One head's keys, rows `stride` apart, in weight layout: two tokens a group, zeros behind the last. */
static void pack_keys(const int8_t *k, int32_t stride, int32_t tokens, int32_t dim, int8_t *keys)
{
    const int32_t padded = 4 * oplib_quads(dim);
    for (int32_t t = 0; t < tokens; t += 2, k += 2 * stride) {
        const int8_t *next = t + 1 < tokens ? k + stride : k;
        for (int32_t c = 0; c < padded; c += 4, keys += 8) {
            for (int32_t i = 0; i < 4; i++) {
                int8_t *place = keys + (i & 1) * 4 + (i & 2);
                place[0] = c + i < dim ? k[c + i] : 0;
                place[1] = c + i < dim ? next[c + i] : 0;
            }
        }
    }
}

/* One head's values in weight layout: two channels a group, zeros behind the last token. */
static void pack_values(const int8_t *v, int32_t stride, int32_t tokens, int32_t dim,
                        int8_t *values)
{
    const int32_t quads = oplib_quads(tokens);
    for (int32_t c = 0; c < dim; c += 2) {
        const int8_t *value = v + c;
        const int32_t second = c + 1 < dim;
        for (int32_t t = 0; t < 4 * quads; t++, value += stride) {
            int8_t *place = values + (t & ~3) * 2 + (t & 1) * 4 + (t & 2);
            place[0] = t < tokens ? value[0] : 0;
            place[1] = t < tokens ? value[second] : 0;
        }
        values += 8 * quads;
    }
}

void oplib_attention_s8(const int8_t *q, const int8_t *k, const int8_t *v, int8_t *y, void *scratch,
                        int32_t tokens, const oplib_attention_s8_params *p)
{
    const int32_t dim = p->head_dim, stride = p->num_heads * dim, padded = 4 * oplib_quads(dim);
    int8_t *const keys = scratch;
    int8_t *const values = keys + 2 * ((tokens + 1) / 2) * padded;
    char *const query = (char *)values + 8 * oplib_quads(tokens) * ((dim + 1) / 2);
    for (int32_t h = 0; h < p->num_heads; h++) {
        pack_keys(k + h * dim, stride, tokens, dim, keys);
        pack_values(v + h * dim, stride, tokens, dim, values);
        for (int32_t t = 0; t < tokens; t += 4) {
            const int32_t rows = oplib_tile_tokens(t, tokens);
            const int32_t at = t * stride + h * dim;
            /* these queries have been read to their end: y may take their place */
            oplib_tile_pack_s8(q + at, stride, rows, dim, query);
            oplib_tile_attention_rows_s8(query, keys, values, tokens, y + at, stride, rows,
                                         query + 8 * padded, p);
        }
    }
}
