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
static void fetch_rows(oplib_conv_stages *stages, int32_t end)
{
    const int32_t row_bytes = stages->conv0->in_size * stages->conv0->in_chans;
    if (stages->fetch == NULL)
        return;
    for (; stages->rows < end; stages->rows++)
        stages->fetch(stages->fetched + stages->rows % stages->places * row_bytes, stages->rows, 1);
}

/* Convolve the first stage's rows before `end`, into pooled rows y. */
static void convolve_image(oplib_conv_stages *stages, int32_t end, const oplib_pooled_rows *y)
{
    const oplib_conv_pool_s8_params *const conv0 = stages->conv0;
    for (; stages->convolved < end; stages->convolved++) {
        const int32_t row = stages->convolved;
        fetch_rows(stages, smaller(row * conv0->stride + 2, conv0->in_size));
        oplib_conv_pool_row_s8(stages->image, stages->places, row, y, stages->work, conv0);
    }
    if (end == conv0->conv_size)
        fetch_rows(stages, conv0->in_size); /* an application supplies every row */
}

void oplib_conv_token_row_s8(oplib_conv_stages *stages, int32_t row, const oplib_pooled_rows *y)
{
    const oplib_conv_pool_s8_params *const conv0 = stages->conv0, *const conv1 = stages->conv1;
    const oplib_pooled_rows *const between = &stages->between;
    if (conv1 == NULL) {
        convolve_image(stages, convolved_end(row, conv0), y);
        return;
    }
    for (int32_t i = 2 * row; i < convolved_end(row, conv1); i++) {
        const int32_t needed = smaller(i * conv1->stride + 1, conv1->in_size - 1);
        convolve_image(stages, convolved_end(needed, conv0), between);
        oplib_conv_pool_row_s8((const uint8_t *)between->rows, between->places, i, y, stages->work,
                               conv1);
    }
}
