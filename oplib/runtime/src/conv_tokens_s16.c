/* SPDX-License-Identifier: Apache-2.0 */
#include "conv.h"

void oplib_conv_tokens_s16(const uint8_t *image, oplib_fetch_rows fetch, int16_t *y, void *scratch,
                           const oplib_conv_tokens_s16_params *params)
{
    const oplib_embed_tokens_s16_params *const embed = params->embed;
    const int32_t grid = oplib_pooled_size(params->conv1 != NULL ? params->conv1 : params->conv0);
    const int32_t row_size = grid * embed->features;
    /* The codes of a row of tokens wait in the second half of its bytes: a token is written no
     * further than the code that is read for it. */
    int8_t *const codes = (int8_t *)(y + embed->first * embed->features) + row_size;
    const oplib_pooled_rows rows = {codes, 2 * row_size, grid};
    oplib_conv_stages stages =
        oplib_conv_begin(image, fetch, scratch, params->conv0, params->conv1);
    for (int32_t i = 0; i < grid; i++) {
        oplib_conv_token_row_s8(&stages, i, &rows);
        oplib_embed_tokens_s16(rows.rows + i * rows.stride, y, i * grid, grid, embed);
    }
}
