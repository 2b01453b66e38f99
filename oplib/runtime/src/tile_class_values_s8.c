/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

void oplib_tile_class_values_s8(int8_t *values, int32_t tokens,
                                const oplib_attention_relative_s8_params *params)
{
    const int32_t all = oplib_relative_values(tokens, params);
    const int8_t *const vectors[2] = {params->value_rows, params->value_columns};
    for (int32_t t = tokens; t < all; t++) {
        int8_t *const feature = values + (t & ~3) * 2 + (t & 1) * 4 + (t & 2);
        for (int32_t c = 0; c < params->attention.head_dim; c++)
            feature[c / 2 * 2 * oplib_padded(all) + c % 2] = vectors[t - tokens][c];
    }
}
