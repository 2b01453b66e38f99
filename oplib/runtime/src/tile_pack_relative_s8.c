/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

void oplib_tile_pack_relative_s8(int8_t *vectors, const oplib_attention_relative_s8_params *params)
{
    const int32_t dim = params->attention.head_dim, count = oplib_relative_distances(params);
    const int32_t axis = oplib_weight_bytes(dim, count), half = 2 * oplib_padded(count);
    /* row 0 of a table is the class token's; distances beyond the grid are left out */
    const int32_t skipped = (params->max_distance + 1 - oplib_relative_reach(params)) * dim;
    int8_t *const keys = vectors + oplib_weight_bytes(dim, 2);
    int8_t *const values = vectors + oplib_relative_key_bytes(params);
    const int8_t *const class_rows[2] = {params->key_rows, params->key_columns};
    oplib_tile_pack_pair_s8(class_rows[0], class_rows[1], dim, vectors);
    oplib_tile_pack_keys_s8(params->key_rows + skipped, dim, count, dim, keys);
    oplib_tile_pack_keys_s8(params->key_columns + skipped, dim, count, dim, keys + axis);
    oplib_tile_pack_values_s8(params->value_rows + skipped, dim, count, dim, 2 * half, values);
    oplib_tile_pack_values_s8(params->value_columns + skipped, dim, count, dim, 2 * half,
                              values + half);
}
