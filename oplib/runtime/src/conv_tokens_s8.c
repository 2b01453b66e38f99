/* SPDX-License-Identifier: Apache-2.0 */
#include "conv.h"

int32_t oplib_conv_tokens_s8(const uint8_t *image, oplib_image_rows *rows, int8_t *y, void *scratch,
                             const oplib_conv_tokens_s8_params *params)
{
    const oplib_embed_tokens_s8_params *const embed = params->embed;
    const int32_t grid = oplib_pooled_size(params->conv1 != NULL ? params->conv1 : params->conv0);
    const int32_t row_bytes = grid * embed->features;
    const oplib_pooled_rows map = {y + embed->first * embed->features, row_bytes, grid};
    const oplib_conv_stages stages =
        oplib_conv_place(image, rows != NULL, scratch, params->conv0, params->conv1);
    oplib_image_rows whole = {NULL, NULL, 0, {0, 0}, 0};
    oplib_image_rows *const done = rows != NULL ? rows : &whole;
    for (; done->tokens < grid; done->tokens++) {
        const int32_t i = done->tokens;
        const int32_t status = oplib_conv_token_row_s8(&stages, done, i, &map);
        if (status != 0)
            return status;
        oplib_embed_tokens_s8(map.rows + i * row_bytes, y, i * grid, grid, embed);
    }
    oplib_begin_image(done);
    return 0;
}
