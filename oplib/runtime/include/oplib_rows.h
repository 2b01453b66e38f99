/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file oplib_rows.h
 * @brief An image that the application supplies row by row.
 */
#ifndef OPLIB_ROWS_H
#define OPLIB_ROWS_H

#include <stdint.h>

/**
 * @brief Function of the application that writes rows of the image.
 * @param      user   what the application set
 * @param[out] rows   where to write: count * img_size * in_chans bytes
 * @param      first  number of the first row
 * @param      count  number of rows
 * @return 0 if they are written; every row is fetched once, in order. Any other value ends the
 *         kernel, which returns it and, called again, goes on with the same rows at the same place.
 */
typedef int32_t (*oplib_fetch_rows)(void *user, uint8_t *rows, int32_t first, int32_t count);

/** @brief Where the image comes from, and how far a kernel has come with it; zeros at its start. */
typedef struct {
    oplib_fetch_rows fetch; /* NULL with the whole image in memory */
    void *user;
    int32_t rows;         /* strips or rows that have been fetched */
    int32_t convolved[2]; /* rows of each convolution that are done */
    int32_t tokens;       /* rows of tokens that are done */
} oplib_image_rows;

#endif
