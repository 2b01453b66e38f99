/* SPDX-License-Identifier: Apache-2.0 */
#include "conv.h"

void oplib_conv_tokens_s8(const uint8_t *image, oplib_fetch_rows fetch, int8_t *y, void *scratch,
                          const oplib_conv_tokens_s8_params *params)
{
    const oplib_embed_tokens_s8_params *const embed = params->embed;
    const int32_t grid = oplib_pooled_size(params->conv1 != NULL ? params->conv1 : params->conv0);
    const int32_t row_bytes = grid * embed->features;
    const oplib_pooled_rows rows = {y + embed->first * embed->features, row_bytes, grid};
    oplib_conv_stages stages =
        oplib_conv_begin(image, fetch, scratch, params->conv0, params->conv1);
    for (int32_t i = 0; i < grid; i++) {
        oplib_conv_token_row_s8(&stages, i, &rows);
        oplib_embed_tokens_s8(rows.rows + i * row_bytes, y, i * grid, grid, embed);
    }
}
