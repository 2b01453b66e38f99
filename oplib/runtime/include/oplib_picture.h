/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file oplib_picture.h
 * @brief From a camera's picture to the rows of a network's image, as for training.
 *
 * An application calls these functions, no network does: a program that calls none holds none.
 */
#ifndef OPLIB_PICTURE_H
#define OPLIB_PICTURE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* the longest side of a picture and of an image, in pixels */
#define OPLIB_PICTURE_MAX_SIDE 4096

enum { OPLIB_CROP_STRETCH = 0, OPLIB_CROP_CENTER = 1 };
enum { OPLIB_RESIZE_BOX = 0, OPLIB_RESIZE_BILINEAR = 1, OPLIB_RESIZE_BICUBIC = 2 };

/* What oplib_rows_from_...() return. */
enum { OPLIB_PICTURE_OK = 0, OPLIB_PICTURE_WRONG_SIZE = -1, OPLIB_PICTURE_WRONG_ROWS = -2 };

typedef struct {
    int32_t img_size;  /* side of the image in pixels, 1 to OPLIB_PICTURE_MAX_SIDE */
    int32_t in_chans;  /* 1: grey; 3: red, green, blue */
    int32_t value_max; /* what 255 becomes, 1 to 255 */
    int32_t crop;      /* OPLIB_CROP_...: of a picture that is not square */
    int32_t resize;    /* OPLIB_RESIZE_... */
} oplib_picture_params;

/**
 * @brief Rows of the image that a picture of 8 bits per channel becomes.
 *
 * In this order, as in training: grey = (19595 red + 38470 green + 7471 blue + 32768) >> 16, if the
 * image is grey; the range, value = round(value * value_max / 255); the centre square, or all of
 * the picture; its columns and then its rows resized by an antialiased filter as Pillow does it,
 * with weights of 22 bits, rounded to a byte after both (SPEC.md, "Pictures"). A filter may
 * overshoot value_max, as it does in training.
 *
 * A call keeps nothing but 1 KB of stack. It computes two columns of the image at a time, from top
 * to bottom, and remembers what the first pass made of the last 32 rows of the picture: ask for as
 * many rows at once as there is room for. On an emulated Cortex-M7, resizing the centre of
 * 320 x 240 pixels to 80 x 80 (RGB, bilinear) takes 1,183 instructions per pixel of the image.
 *
 * @param[out] rows    (count, img_size, in_chans)
 * @param      first   first row of the image
 * @param      count   number of rows; first + count may be at most img_size
 * @param[in]  pixels  (height, width, 3), red first; upright, without gaps; may not overlap rows
 * @param      width   of the picture in pixels, 1 to OPLIB_PICTURE_MAX_SIDE
 * @param      height  of the picture in pixels, 1 to OPLIB_PICTURE_MAX_SIDE
 * @param[in]  params  the image
 * @return OPLIB_PICTURE_OK; OPLIB_PICTURE_WRONG_SIZE for another size of the picture or
 *         OPLIB_PICTURE_WRONG_ROWS for rows beyond the image, and nothing is written
 */
int32_t oplib_rows_from_rgb888(uint8_t *rows, int32_t first, int32_t count, const uint8_t *pixels,
                               int32_t width, int32_t height, const oplib_picture_params *params);

/**
 * @brief Rows of the image that a picture of 16 bits per pixel becomes; else as above.
 *
 * A pixel is red << 11 | green << 5 | blue, 5, 6 and 5 bits, in the order of the core's bytes (many
 * cameras send the high byte first: swap them). The low bits of a channel of 8 bits are its highest
 * again, so that the largest value is 255.
 *
 * @param[in]  pixels  (height, width); 2-byte aligned
 */
int32_t oplib_rows_from_rgb565(uint8_t *rows, int32_t first, int32_t count, const uint16_t *pixels,
                               int32_t width, int32_t height, const oplib_picture_params *params);

#ifdef __cplusplus
}
#endif

#endif
