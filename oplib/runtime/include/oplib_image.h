/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file oplib_image.h
 * @brief From pixels to tokens: patch embedding, convolution, tokenizer. Conventions: oplib.h.
 */
#ifndef OPLIB_IMAGE_H
#define OPLIB_IMAGE_H

#include <stddef.h>

#include "geometry.h"
#include "oplib_linear.h"
#include "oplib_rows.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t img_size; /* side of the square image */
    int32_t in_chans; /* at most 4 */
    int32_t patch_size;
    int32_t grid_size;  /* patches along one side */
    int32_t pad_before; /* pixels of padding above and to the left */
    int32_t first;      /* 1 with a class token, else 0 */
    int32_t direct;     /* 1 if all patches are inside the image and their rows are whole words */
    int32_t tile_from;  /* in place only: the first token whose tile fits below its strip; even */
    int32_t panel;      /* tokens per pass over the weights, a multiple of 4; in place: at most */
    uint8_t pad[4];     /* raw pixel value of the padding, one per channel */
    const int8_t *position; /* (first + grid_size^2, out_features), or NULL without positions */
    oplib_linear_s8_params linear;
} oplib_patch_embed_s8_params;

/** @brief Bytes of scratch of oplib_patch_embed_s8(): a panel and, if not direct, four windows. */
static inline int32_t oplib_patch_embed_s8_scratch_bytes(const oplib_patch_embed_s8_params *params)
{
    const int32_t features = params->linear.in_features;
    const int32_t windows = params->direct != 0 ? 0 : OPLIB_TILE_TOKENS * features;
    return oplib_panel_bytes(params->panel, features) + oplib_aligned(windows);
}

/**
 * @brief Embed the patches [token, token + count) of an image and add their positions.
 *
 * y[t][o] = saturate8(round(acc * multiplier[o] / 2^32) + zero_point + position[t][o]), where acc
 * is the inner product of weights and pixels - 128, in the order row, column, channel. Pixels
 * outside the image have the value pad[channel]. With a class token, y[0] = saturate8(zero_point +
 * position[0]), written with patch 0, and the patches follow.
 *
 * @param[in]  rows       raw pixels (rows, img_size, in_chans) from row `first_row` of the image on
 * @param      first_row  number of the first row at `rows`
 * @param[out] y          (first + grid_size^2, out_features), all tokens
 * @param      scratch    oplib_patch_embed_s8_scratch_bytes()
 * @param      token      first patch
 * @param      count      number of patches
 * @param[in]  params     the layer and the image's geometry
 */
void oplib_patch_embed_s8(const uint8_t *rows, int32_t first_row, int8_t *y, void *scratch,
                          int32_t token, int32_t count, const oplib_patch_embed_s8_params *params);

/**
 * @brief oplib_patch_embed_s8() of a whole image, without scratch and over the image itself.
 *
 * For direct patches. Tokens before tile_from are computed in pairs without a tile. Later ones are
 * packed into the image, directly below the strip of patches they begin in: those pixels have been
 * read. A panel has as many tiles as fit between there and the tokens. y may begin below the image
 * and overlap it as far as the memory planner proves that a pixel is read before it is overwritten
 * (SPEC.md).
 *
 * @param[in,out] image   raw pixels (img_size, img_size, in_chans); overwritten
 * @param[out]    y       (first + grid_size^2, out_features)
 * @param[in]     params  the layer and the image's geometry
 */
void oplib_patch_embed_in_place_s8(uint8_t *image, int8_t *y,
                                   const oplib_patch_embed_s8_params *params);

/** @brief Bytes of one strip of patches, `height` rows of the image, rounded up to alignment. */
static inline int32_t oplib_strip_bytes(int32_t height, int32_t img_size, int32_t in_chans)
{
    return oplib_aligned(height * img_size * in_chans);
}

/** @brief Bytes of scratch of oplib_patch_embed_strips_s8(): one strip more. */
static inline int32_t
oplib_patch_embed_strips_s8_scratch_bytes(const oplib_patch_embed_s8_params *params)
{
    return oplib_strip_bytes(params->patch_size, params->img_size, params->in_chans) +
           oplib_patch_embed_s8_scratch_bytes(params);
}

/**
 * @brief oplib_patch_embed_s8() of an image that the application supplies strip by strip.
 * @param      image    supplies the rows of a strip in one call; keeps the progress
 * @param[out] y        (first + grid_size^2, out_features)
 * @param      scratch  oplib_patch_embed_strips_s8_scratch_bytes()
 * @param[in]  params   the layer and the image's geometry
 * @return 0, or what the application's function returned: then call again, with the same memory
 */
int32_t oplib_patch_embed_strips_s8(oplib_image_rows *image, int8_t *y, void *scratch,
                                    const oplib_patch_embed_s8_params *params);

/** @brief Patch embedding in (patch_size / kernel)^2 passes of small kernels. */
typedef struct {
    int32_t img_size;
    int32_t in_chans;
    int32_t patch_size;
    int32_t grid_size;
    int32_t pad_before;
    int32_t first;
    int32_t kernel; /* side of the small kernels; divides patch_size */
    int32_t panel;  /* tokens per pass over the weights; a multiple of 4 */
    uint8_t pad[4];
    oplib_linear_s8_params
        linear; /* weights: one packed (out_features, kernel^2 * in_chans) per pass */
} oplib_patch_passes;

typedef struct {
    oplib_patch_passes passes;
    const int8_t *position; /* (first + grid_size^2, out_features), or NULL */
} oplib_patch_embed_passes_s8_params;

typedef struct {
    oplib_patch_passes passes;
    const int16_t *position; /* (first + grid_size^2, out_features), or NULL */
} oplib_patch_embed_passes_s16_params;

/** @brief Bytes of scratch of patch embedding in passes: sums, a panel and four windows. */
static inline int32_t oplib_patch_passes_scratch_bytes(const oplib_patch_passes *passes)
{
    const int32_t features = passes->kernel * passes->kernel * passes->in_chans;
    const int32_t sums =
        passes->panel * (int32_t)sizeof(int32_t) * oplib_even(passes->linear.out_features);
    return sums + oplib_panel_bytes(passes->panel, features) +
           oplib_aligned(OPLIB_TILE_TOKENS * features);
}

/** @brief Bytes of scratch of oplib_patch_embed_passes_s8(). */
static inline int32_t
oplib_patch_embed_passes_s8_scratch_bytes(const oplib_patch_embed_passes_s8_params *params)
{
    return oplib_patch_passes_scratch_bytes(&params->passes);
}

/** @brief Bytes of scratch of oplib_patch_embed_passes_s16(). */
static inline int32_t
oplib_patch_embed_passes_s16_scratch_bytes(const oplib_patch_embed_passes_s16_params *params)
{
    return oplib_patch_passes_scratch_bytes(&params->passes);
}

/** @brief Bytes of scratch of oplib_patch_embed_passes_strips_s8(): one strip more. */
static inline int32_t
oplib_patch_embed_passes_strips_s8_scratch_bytes(const oplib_patch_embed_passes_s8_params *params)
{
    const oplib_patch_passes *passes = &params->passes;
    return oplib_strip_bytes(passes->patch_size, passes->img_size, passes->in_chans) +
           oplib_patch_passes_scratch_bytes(passes);
}

/**
 * @brief oplib_patch_embed_s8() in passes; every integer is the same.
 * @param[in]  rows       as for oplib_patch_embed_s8(), like all arguments
 * @param      first_row  number of the first row at `rows`
 * @param[out] y          (first + grid_size^2, out_features), all tokens
 * @param      scratch    oplib_patch_embed_passes_s8_scratch_bytes()
 * @param      token      first patch
 * @param      count      number of patches
 * @param[in]  params     the layer and the image's geometry
 */
void oplib_patch_embed_passes_s8(const uint8_t *rows, int32_t first_row, int8_t *y, void *scratch,
                                 int32_t token, int32_t count,
                                 const oplib_patch_embed_passes_s8_params *params);

/**
 * @brief oplib_patch_embed_passes_s8() of an image that the application supplies strip by strip.
 * @param      image    supplies the rows of a strip in one call; keeps the progress
 * @param[out] y        (first + grid_size^2, out_features)
 * @param      scratch  oplib_patch_embed_passes_strips_s8_scratch_bytes()
 * @param[in]  params   the layer and the image's geometry
 * @return 0, or what the application's function returned: then call again, with the same memory
 */
int32_t oplib_patch_embed_passes_strips_s8(oplib_image_rows *image, int8_t *y, void *scratch,
                                           const oplib_patch_embed_passes_s8_params *params);

/**
 * @brief oplib_patch_embed_passes_s8() with int16 results: no zero point, 24 fraction bits.
 * @param[in]  image    raw pixels (img_size, img_size, in_chans)
 * @param[out] y        (first + grid_size^2, out_features)
 * @param      scratch  oplib_patch_embed_passes_s16_scratch_bytes()
 * @param[in]  params   the layer and the image's geometry
 */
void oplib_patch_embed_passes_s16(const uint8_t *image, int16_t *y, void *scratch,
                                  const oplib_patch_embed_passes_s16_params *params);

#define OPLIB_CONV_SIDE 3    /* side of a convolution's windows */
#define OPLIB_CONV_BETWEEN 4 /* pooled rows kept between two stages */

typedef struct {
    int32_t in_size;
    int32_t in_chans;
    int32_t stride;
    int32_t conv_size;             /* ceil(in_size / stride) */
    int32_t panel;                 /* windows per pass over the weights, a multiple of 4 */
    uint32_t flip;                 /* OPLIB_FLIP_U8 if x holds raw pixels, 0 if it holds codes */
    const uint8_t *pad;            /* (in_chans,): byte of x outside the image */
    oplib_linear_s8_params linear; /* (out_features, 9 * in_chans): row, column, channel */
} oplib_conv_pool_s8_params;

/** @brief Rows and columns of a pooled map: ceil(conv_size / 2). */
static inline int32_t oplib_pooled_size(const oplib_conv_pool_s8_params *params)
{
    return (params->conv_size + 1) / 2;
}

/** @brief Bytes of scratch of oplib_conv_pool_s8(): a panel and its results, in whose place four
 * windows are gathered where the channels are not whole quads. */
static inline int32_t oplib_conv_pool_s8_scratch_bytes(const oplib_conv_pool_s8_params *params)
{
    const int32_t features = params->linear.in_features;
    const int32_t results = params->panel * params->linear.out_features;
    const int32_t windows = params->in_chans % OPLIB_QUAD != 0 ? OPLIB_TILE_TOKENS * features : 0;
    return oplib_panel_bytes(params->panel, features) +
           oplib_aligned(results > windows ? results : windows);
}

/**
 * @brief 3 x 3 convolution with one pixel of padding, ReLU, and 3 x 3 max pooling of stride 2.
 * @param[in]  x        (in_size, in_size, in_chans)
 * @param[out] y        (pooled, pooled, out_features), pooled = oplib_pooled_size()
 * @param      scratch  oplib_conv_pool_s8_scratch_bytes()
 * @param[in]  params   the layer
 */
void oplib_conv_pool_s8(const uint8_t *x, int8_t *y, void *scratch,
                        const oplib_conv_pool_s8_params *params);

typedef struct {
    int32_t features;
    int32_t first; /* 1 with a class token, else 0 */
    int32_t in_zero_point;
    int32_t multiplier;     /* input scale / output scale * 2^16 */
    int32_t zero_point;     /* zero point of y */
    const int8_t *position; /* (first + tokens, features), or NULL */
} oplib_embed_tokens_s8_params;

/**
 * @brief Tokens [token, token + count) of a convolutional tokenizer: rescaled, plus positions,
 * rounded once.
 *
 * y[first + t] = saturate8((x[t] - in_zero_point) * ratio + zero_point + position[first + t]). With
 * a class token, y[0] = saturate8(zero_point + position[0]), written with token 0.
 *
 * @param[in]  x       (count, features), from `token` on; may be in the place of its tokens in y
 * @param[out] y       (first + tokens, features), all tokens
 * @param      token   first token, without the class token
 * @param      count   number of tokens
 * @param[in]  params  constants
 */
void oplib_embed_tokens_s8(const int8_t *x, int8_t *y, int32_t token, int32_t count,
                           const oplib_embed_tokens_s8_params *params);

typedef struct {
    int32_t features;
    int32_t first;
    int32_t in_zero_point;
    int32_t multiplier;
    const int16_t *position;
} oplib_embed_tokens_s16_params;

/**
 * @brief oplib_embed_tokens_s8() with int16 results, which have no zero point.
 * @param[in]  x       (count, features), from `token` on; may be in the second half of the place of
 *                     its tokens in y
 * @param[out] y       (first + tokens, features), all tokens
 * @param      token   first token, without the class token
 * @param      count   number of tokens
 * @param[in]  params  constants
 */
void oplib_embed_tokens_s16(const int8_t *x, int16_t *y, int32_t token, int32_t count,
                            const oplib_embed_tokens_s16_params *params);

/** @brief A whole tokenizer: one or two stages and the embedding of their tokens. */
typedef struct {
    const oplib_conv_pool_s8_params *conv0;
    const oplib_conv_pool_s8_params *conv1; /* or NULL */
    const oplib_embed_tokens_s8_params *embed;
} oplib_conv_tokens_s8_params;

typedef struct {
    const oplib_conv_pool_s8_params *conv0;
    const oplib_conv_pool_s8_params *conv1;
    const oplib_embed_tokens_s16_params *embed;
} oplib_conv_tokens_s16_params;

/** @brief Bytes of the rows of the image that one row of windows needs, if they are fetched. */
static inline int32_t oplib_conv_fetched_bytes(const oplib_conv_pool_s8_params *conv0)
{
    return oplib_aligned(OPLIB_CONV_SIDE * conv0->in_size * conv0->in_chans);
}

/** @brief Bytes of the pooled rows between two stages: three in use and one begun. */
static inline int32_t oplib_conv_between_bytes(const oplib_conv_pool_s8_params *conv0)
{
    return oplib_aligned(OPLIB_CONV_BETWEEN * oplib_pooled_size(conv0) *
                         conv0->linear.out_features);
}

/**
 * @brief Bytes of scratch of oplib_conv_tokens_s8() and oplib_conv_tokens_s16().
 * @param     fetches  whether the application supplies the image
 * @param[in] conv0    the first stage
 * @param[in] conv1    the second stage, or NULL
 */
static inline int32_t oplib_conv_tokens_scratch_bytes(int fetches,
                                                      const oplib_conv_pool_s8_params *conv0,
                                                      const oplib_conv_pool_s8_params *conv1)
{
    const int32_t work0 = oplib_conv_pool_s8_scratch_bytes(conv0);
    const int32_t work1 = conv1 != NULL ? oplib_conv_pool_s8_scratch_bytes(conv1) : 0;
    return (fetches ? oplib_conv_fetched_bytes(conv0) : 0) +
           (conv1 != NULL ? oplib_conv_between_bytes(conv0) : 0) + (work0 > work1 ? work0 : work1);
}

/**
 * @brief oplib_conv_pool_s8() once or twice, then oplib_embed_tokens_s8(), row by row.
 *
 * Only the rows that are still needed are kept. y may overlap the image as far as the memory
 * planner proves that a pixel is read before it is overwritten (SPEC.md).
 *
 * @param[in]  image    raw pixels (in_size, in_size, in_chans); unused if rows are fetched
 * @param      rows     supplies the image row by row and keeps the progress, or NULL
 * @param[out] y        (first + tokens, features), all tokens
 * @param      scratch  oplib_conv_tokens_scratch_bytes()
 * @param[in]  params   the stages and the embedding
 * @return 0, or what the application's function returned: then call again, with the same memory
 */
int32_t oplib_conv_tokens_s8(const uint8_t *image, oplib_image_rows *rows, int8_t *y, void *scratch,
                             const oplib_conv_tokens_s8_params *params);

/**
 * @brief oplib_conv_tokens_s8() with int16 results.
 * @param[in]  image    as for oplib_conv_tokens_s8(), like all arguments
 * @param      rows     supplies the image row by row and keeps the progress, or NULL
 * @param[out] y        (first + tokens, features), all tokens
 * @param      scratch  oplib_conv_tokens_scratch_bytes()
 * @param[in]  params   the stages and the embedding
 * @return 0, or what the application's function returned: then call again, with the same memory
 */
int32_t oplib_conv_tokens_s16(const uint8_t *image, oplib_image_rows *rows, int16_t *y,
                              void *scratch, const oplib_conv_tokens_s16_params *params);

#ifdef __cplusplus
}
#endif

#endif
