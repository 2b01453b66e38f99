/* SPDX-License-Identifier: Apache-2.0 */
#include "layer_norm.h"
#include "tile.h"

void oplib_tile_layer_norm_s16(const void *stream, int32_t tokens, void *panel,
                               const oplib_layer_norm_s8_params *params)
{
    const int32_t features = params->features, padded = oplib_padded(tokens);
    for (int32_t t = 0; t < padded; t++) {
        const oplib_memory_s16 *row = stream;
        row += (t < tokens ? t : tokens - 1) * features;
        oplib_memory_s16 *tile = panel;
        tile += (t & ~3) * oplib_padded(features) + 2 * (t & 3);
        const oplib_normal normal = oplib_normal_s16(row, params);
        for (int32_t c = 0; c < features; c++) {
            const int32_t value = oplib_normal_value(row[c], normal, params->affine + 2 * c);
            tile[oplib_tile_channel(c) + (c & 1) * (OPLIB_QUAD_ODD / 2)] = (int16_t)value;
        }
    }
}
