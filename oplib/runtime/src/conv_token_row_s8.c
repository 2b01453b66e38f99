/* SPDX-License-Identifier: Apache-2.0 */
#include "conv.h"

static int32_t smaller(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* The end of the convolved rows that pooled row `row` needs. */
static int32_t convolved_end(int32_t row, const oplib_conv_pool_s8_params *params)
{
    return smaller(2 * row + 2, params->conv_size);
}

/* Fetch the rows of the image before `end`. */
static int32_t fetch_rows(const oplib_conv_stages *stages, oplib_image_rows *done, int32_t end)
{
    const int32_t row_bytes = stages->conv0->in_size * stages->conv0->in_chans;
    if (stages->fetched == NULL)
        return 0;
    for (; done->rows < end; done->rows++) {
        uint8_t *const row = stages->fetched + done->rows % stages->places * row_bytes;
        const int32_t status = done->fetch(done->user, row, done->rows, 1);
        if (status != 0)
            return status;
    }
    return 0;
}

/* Convolve the first stage's rows before `end`, into pooled rows y. */
static int32_t convolve_image(const oplib_conv_stages *stages, oplib_image_rows *done, int32_t end,
                              const oplib_pooled_rows *y)
{
    const oplib_conv_pool_s8_params *const conv0 = stages->conv0;
    int32_t *const row = &done->convolved[0];
    for (; *row < end; ++*row) {
        const int32_t needed = smaller(*row * conv0->stride + 2, conv0->in_size);
        const int32_t status = fetch_rows(stages, done, needed);
        if (status != 0)
            return status;
        oplib_conv_pool_row_s8(stages->image, stages->places, *row, y, stages->work, conv0);
    }
    /* at the end an application supplies the rows that no window reaches, too */
    return end == conv0->conv_size ? fetch_rows(stages, done, conv0->in_size) : 0;
}

int32_t oplib_conv_token_row_s8(const oplib_conv_stages *stages, oplib_image_rows *done,
                                int32_t row, const oplib_pooled_rows *y)
{
    const oplib_conv_pool_s8_params *const conv0 = stages->conv0, *const conv1 = stages->conv1;
    const oplib_pooled_rows *const between = &stages->between;
    if (conv1 == NULL)
        return convolve_image(stages, done, convolved_end(row, conv0), y);
    int32_t *const second = &done->convolved[1];
    for (; *second < convolved_end(row, conv1); ++*second) {
        const int32_t needed = smaller(*second * conv1->stride + 1, conv1->in_size - 1);
        const int32_t status = convolve_image(stages, done, convolved_end(needed, conv0), between);
        if (status != 0)
            return status;
        oplib_conv_pool_row_s8((const uint8_t *)between->rows, between->places, *second, y,
                               stages->work, conv1);
    }
    return 0;
}
