/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

/* Where the sums of a key begin. */
typedef struct {
    const oplib_memory_s32 *row, *column;
} key_sums;

/* Go on to the next key of the grid; what is not among its columns stands behind the last. */
OPLIB_INLINE key_sums next_key(key_sums key, const oplib_memory_s32 *columns,
                               const oplib_memory_s32 *last)
{
    if (key.column < last) {
        key.column += OPLIB_TILE_TOKENS;
    } else {
        key.column = columns;
        key.row += OPLIB_TILE_TOKENS;
    }
    return key;
}

OPLIB_FAST(oplib_tile_relative_scores_s8)
OPLIB_MICRO_KERNEL
void oplib_tile_relative_scores_s8(const void *query, const int8_t *keys, int32_t tokens,
                                   int8_t *scores, const void *sums,
                                   const oplib_attention_relative_s8_params *params)
{
    const int32_t quads = oplib_quads(params->attention.head_dim), stride = oplib_padded(tokens);
    const int32_t m = params->attention.score_multiplier, grid = params->grid_size;
    const oplib_memory_s32 *const with_class = sums, *const rows = with_class + OPLIB_TILE_TOKENS;
    const oplib_memory_s32 *const columns = rows + OPLIB_TILE_TOKENS * grid;
    const oplib_memory_s32 *const last = columns + OPLIB_TILE_TOKENS * (grid - 1);
    const key_sums class_key = {with_class, last + OPLIB_TILE_TOKENS}, first_key = {rows, columns};
    key_sums key = tokens > grid * grid ? class_key : first_key;
    for (int32_t j = 0; j < tokens; j += 2, keys += OPLIB_WEIGHT_QUAD_BYTES * quads, scores += 2) {
        oplib_block_4x2 sum;
        sum.t0c0 = key.row[0] + key.column[0];
        sum.t1c0 = key.row[1] + key.column[1];
        sum.t2c0 = key.row[2] + key.column[2];
        sum.t3c0 = key.row[3] + key.column[3];
        key = next_key(key, columns, last);
        sum.t0c1 = key.row[0] + key.column[0];
        sum.t1c1 = key.row[1] + key.column[1];
        sum.t2c1 = key.row[2] + key.column[2];
        sum.t3c1 = key.row[3] + key.column[3];
        key = next_key(key, columns, last);
        sum = oplib_add_product_4x2(sum, query, keys, quads);
        const int8_t t0c0 = oplib_requantize(sum.t0c0, m, 0);
        const int8_t t0c1 = oplib_requantize(sum.t0c1, m, 0);
        const int8_t t1c0 = oplib_requantize(sum.t1c0, m, 0);
        const int8_t t1c1 = oplib_requantize(sum.t1c1, m, 0);
        const int8_t t2c0 = oplib_requantize(sum.t2c0, m, 0);
        const int8_t t2c1 = oplib_requantize(sum.t2c1, m, 0);
        const int8_t t3c0 = oplib_requantize(sum.t3c0, m, 0);
        const int8_t t3c1 = oplib_requantize(sum.t3c1, m, 0);
        int8_t *out = scores;
        out[0] = t0c0;
        out[1] = t0c1;
        out += stride;
        out[0] = t1c0;
        out[1] = t1c1;
        out += stride;
        out[0] = t2c0;
        out[1] = t2c1;
        out += stride;
        out[0] = t3c0;
        out[1] = t3c1;
    }
}
