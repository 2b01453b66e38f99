/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file conv.h
 * @brief A convolutional tokenizer row by row, for kernels.
 *
 * A stage convolves one row at a time and takes each row at once into the pooled rows that it
 * reaches: row 2i into pooled row i, row 2i + 1 into i and i + 1. A pooled row begins at the zero
 * point, below which ReLU leaves no code, so that the maximum is both pooling and ReLU.
 */
#ifndef OPLIB_CONV_H
#define OPLIB_CONV_H

#include "oplib.h"
#include "strips.h"

/* Pooled rows in memory; row i is at place i % places. */
typedef struct {
    int8_t *rows;
    int32_t stride; /* bytes from one place to the next */
    int32_t places;
} oplib_pooled_rows;

/* Pack the windows [column, column + windows) of row `row` of the convolution. x: the rows of the
 * input, row i at place i % places. gathered: room for four windows, unless channels are whole
 * quads. */
void oplib_tile_pack_windows_s8(const uint8_t *x, int32_t places, int32_t row, int32_t column,
                                int32_t windows, void *panel, int8_t *gathered,
                                const oplib_conv_pool_s8_params *params);

/* Convolve row `row` and take it into the pooled rows y that it reaches. x: the rows of the input,
 * row i at place i % places. scratch: oplib_conv_pool_s8_scratch_bytes() */
void oplib_conv_pool_row_s8(const uint8_t *x, int32_t places, int32_t row,
                            const oplib_pooled_rows *y, void *scratch,
                            const oplib_conv_pool_s8_params *params);

/* A tokenizer and its memory. */
typedef struct {
    const oplib_conv_pool_s8_params *conv0, *conv1; /* conv1: NULL for a single convolution */
    const uint8_t *image;                           /* row i at place i % places */
    int32_t places;
    uint8_t *fetched;          /* the image's rows, where they are fetched; else NULL */
    oplib_pooled_rows between; /* pooled rows from the first convolution to the second */
    void *work;                /* a stage's scratch */
} oplib_conv_stages;

/* Return a tokenizer; arguments as for oplib_conv_tokens_s8(). */
static inline oplib_conv_stages oplib_conv_place(const uint8_t *image, int fetches, void *scratch,
                                                 const oplib_conv_pool_s8_params *conv0,
                                                 const oplib_conv_pool_s8_params *conv1)
{
    uint8_t *const fetched = fetches ? scratch : NULL;
    int8_t *const between = (int8_t *)scratch + (fetches ? oplib_conv_fetched_bytes(conv0) : 0);
    const int32_t stride = oplib_pooled_size(conv0) * conv0->linear.out_features;
    const oplib_conv_stages stages = {
        conv0,
        conv1,
        fetches ? fetched : image,
        fetches ? OPLIB_CONV_SIDE : conv0->in_size,
        fetched,
        {between, stride, OPLIB_CONV_BETWEEN},
        between + (conv1 != NULL ? oplib_conv_between_bytes(conv0) : 0),
    };
    return stages;
}

/* Compute row `row` of the last stage's pooled map into y; rows come in order. Of y, row + 1 is
 * begun as well. Return 0, or what the application's function returned: then call again. */
int32_t oplib_conv_token_row_s8(const oplib_conv_stages *stages, oplib_image_rows *done,
                                int32_t row, const oplib_pooled_rows *y);

#endif
