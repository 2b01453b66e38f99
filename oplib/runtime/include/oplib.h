/* SPDX-License-Identifier: Apache-2.0
 *
 * Integer operators of a vision transformer, C99, for the host and for Cortex-M.
 *
 * Conventions
 *   - Activations are int8, one scale and zero point a tensor: real = scale * (q - zero_point).
 *   - Tokens are rows: a (tokens, features) tensor is row-major without gaps.
 *   - Weights are int8, one scale an output channel, zero point 0; biases are int32 in units of
 *     (input scale * weight scale) and hold the input's zero point already.
 *   - requant(acc, m, z) = saturate8((acc * m + z * 2^32 + 2^31) >> 32), the one rounding.
 *   - Every buffer, scratch included, belongs to the caller. No function keeps state.
 *   - Pointers must not alias unless the contract says so. Buffers are 8-byte aligned.
 * SPEC.md defines every operator to the bit.
 */
#ifndef OPLIB_H
#define OPLIB_H

#include <stdint.h>

/* y[t][o] = requant(bias[o] + sum_k x[t][k] * weight[o][k], multiplier[o], zero_point) */
typedef struct {
    int32_t in_features;
    int32_t out_features;
    int32_t zero_point;        /* of y */
    const int8_t *weight;      /* (out_features, in_features) */
    const int32_t *bias;       /* (out_features,) */
    const int32_t *multiplier; /* (out_features,), each in [0, 2^31) */
} oplib_linear_s8_params;

/* [in] x (tokens, in_features)  [out] y (tokens, out_features) */
void oplib_linear_s8(const int8_t *x, int8_t *y, int32_t tokens, const oplib_linear_s8_params *p);

/* The same with an int16 result, which has no zero point: y = saturate16((acc * m + 2^23) >> 24).
 * [in] x (tokens, in_features)  [out] y (tokens, out_features) */
void oplib_linear_s8_s16(const int8_t *x, int16_t *y, int32_t tokens,
                         const oplib_linear_s8_params *p);

/* The same with int16 inputs; in_features at most 384. */
void oplib_linear_s16_s8(const int16_t *x, int8_t *y, int32_t tokens,
                         const oplib_linear_s8_params *p);

/* Patches of an image, embedded, plus positions:
 * y[t][o] = saturate8(round(acc * multiplier[o] / 2^32) + zero_point + position[t][o]), where acc is
 * the linear form over the patch's pixels less 128, in the order row, column, channel. Pixels
 * outside the image have the value pad[channel]. With a class token, y[0] = saturate8(zero_point +
 * position[0]) and the patches follow. */
typedef struct {
    int32_t img_size;    /* side of the square image */
    int32_t in_chans;    /* at most 4 */
    int32_t patch_size;
    int32_t grid_size;   /* patches along one side */
    int32_t pad_before;  /* pixels of padding above and to the left */
    int32_t first;       /* 1 with a class token, else 0 */
    uint8_t pad[4];      /* raw pixel value of the padding, a channel each */
    const int8_t *position; /* (first + grid_size^2, out_features), or null without positions */
    oplib_linear_s8_params linear;
} oplib_patch_embed_s8_params;

/* [in] image (img_size, img_size, in_chans), raw pixels
 * [out] y (first + grid_size^2, out_features)
 * scratch: 2 * patch_size^2 * in_chans bytes */
void oplib_patch_embed_s8(const uint8_t *image, int8_t *y, int8_t *scratch,
                          const oplib_patch_embed_s8_params *p);

/* The same in (patch_size / kernel)^2 passes of small kernels, for int8 and for int16 results, which have
 * no zero point and multipliers of 24 fraction bits. The weights are ordered by pass:
 * (passes, out_features, kernel^2 * in_chans). */
typedef struct {
    int32_t img_size;
    int32_t in_chans;
    int32_t patch_size;
    int32_t grid_size;
    int32_t pad_before;
    int32_t first;
    int32_t kernel;       /* divides patch_size */
    uint8_t pad[4];
    const void *position; /* of y's type */
    oplib_linear_s8_params linear;
} oplib_patch_embed_passes_params;

/* scratch: 4 * out_features + kernel^2 * in_chans bytes, 4-byte aligned */
void oplib_patch_embed_passes_s8(const uint8_t *image, int8_t *y, void *scratch,
                                 const oplib_patch_embed_passes_params *p);
void oplib_patch_embed_passes_s16(const uint8_t *image, int16_t *y, void *scratch,
                                  const oplib_patch_embed_passes_params *p);

/* 3 x 3 convolution with one pixel of padding, ReLU, and 3 x 3 max pooling of stride 2, a row at a
 * time. conv_size = ceil(in_size / stride); y has ceil(conv_size / 2) rows and columns. Weights are
 * (out_features, 9 * in_chans) in the order row, column, channel. */
typedef struct {
    int32_t in_size;
    int32_t in_chans;
    int32_t stride;
    int32_t conv_size;
    uint32_t flip;      /* 0x80 where x holds raw pixels, 0 where it holds codes */
    const uint8_t *pad; /* (in_chans,): the byte that stands outside the image */
    oplib_linear_s8_params linear;
} oplib_conv_pool_s8_params;

/* [in] x (in_size, in_size, in_chans)  [out] y (pooled, pooled, out_features)
 * scratch: 3 * conv_size * out_features + 9 * in_chans bytes */
void oplib_conv_pool_s8(const uint8_t *x, int8_t *y, int8_t *scratch,
                        const oplib_conv_pool_s8_params *p);

/* Tokens of a convolutional tokenizer: y[first + t] = saturate((x[t] - in_zero) * ratio + zero +
 * position[first + t]), rounded once; y[0] = saturate(zero + position[0]) with a class token. */
typedef struct {
    int32_t features;
    int32_t first;
    int32_t in_zero_point;
    int32_t multiplier; /* input scale / output scale * 2^16 */
    int32_t zero_point;
    const int8_t *position; /* (first + tokens, features), or null */
} oplib_embed_tokens_s8_params;

/* [in] x (tokens, features)  [out] y (first + tokens, features) */
void oplib_embed_tokens_s8(const int8_t *x, int8_t *y, int32_t tokens,
                           const oplib_embed_tokens_s8_params *p);

typedef struct {
    int32_t features;
    int32_t first;
    int32_t in_zero_point;
    int32_t multiplier;
    const int16_t *position;
} oplib_embed_tokens_s16_params;

void oplib_embed_tokens_s16(const int8_t *x, int16_t *y, int32_t tokens,
                            const oplib_embed_tokens_s16_params *p);

/* Layer normalisation over the features of each token; integer statistics are exact. */
typedef struct {
    int32_t features;       /* at most 511 */
    uint32_t eps;           /* eps * features^2 / input scale^2 */
    int32_t sqrt_steps;     /* Newton steps of the square root; 0 is I-BERT's stopping rule */
    const int32_t *gamma;   /* gamma / output scale * 2^16 */
    const int32_t *beta;    /* (beta / output scale + zero point) * 2^7 + 2^6 */
} oplib_layer_norm_s8_params;

/* [in] x (tokens, features)  [out] y (tokens, features); y may be x */
void oplib_layer_norm_s8(const int8_t *x, int8_t *y, int32_t tokens,
                         const oplib_layer_norm_s8_params *p);

/* The same with int16 inputs. */
typedef struct {
    int32_t features; /* at most 511 */
    int32_t sqrt_steps;
    uint64_t eps;
    const int32_t *gamma;
    const int32_t *beta;
} oplib_layer_norm_s16_params;

/* [in] x (tokens, features)  [out] y (tokens, features) */
void oplib_layer_norm_s16(const int16_t *x, int8_t *y, int32_t tokens,
                          const oplib_layer_norm_s16_params *p);

/* Softmax of one row, unnormalised with 15 fraction bits: weights[j] = e^(scores[j] - max(scores)) by
 * table, by polynomial or by shifts; if `normalized`, rounded to 127 * e / sum(e). */
enum { OPLIB_SOFTMAX_TABLE = 0, OPLIB_SOFTMAX_POLYNOMIAL = 1, OPLIB_SOFTMAX_SHIFT = 2 };

typedef struct {
    int32_t form;
    int32_t normalized;
    uint32_t exponent;         /* score scale (times log2(e) for the polynomial) * 2^16 */
    const uint16_t *exp_table; /* (256,), or null */
} oplib_softmax_s8_params;

/* [in] scores (n,)  [out] weights (n,); returns their sum (127 if normalized). n <= 511. */
uint32_t oplib_softmax_s8(const int8_t *scores, uint16_t *weights, int32_t n,
                          const oplib_softmax_s8_params *p);

/* Multi-head attention: per head and query token,
 *   score[j] = requant(q . k[j], score_multiplier, 0)
 *   y        = requant(sum_j weights[j] * v[j], m, zero_point),
 *   m        = (value_numerator + sum / 2) / sum
 * with weights and sum from oplib_softmax_s8. */
typedef struct {
    int32_t num_heads;
    int32_t head_dim;
    int32_t score_multiplier;
    int32_t zero_point;            /* of y */
    uint64_t value_numerator;      /* value scale / output scale * 2^32 */
    oplib_softmax_s8_params softmax;
} oplib_attention_s8_params;

/* [in] q, k, v (tokens, num_heads * head_dim), zero point 0  [out] y alike; y may be q
 * scratch: 3 * tokens bytes rounded up to 8, 2-byte aligned. tokens <= 511. */
void oplib_attention_s8(const int8_t *q, const int8_t *k, const int8_t *v, int8_t *y,
                        void *scratch, int32_t tokens, const oplib_attention_s8_params *p);

/* The same with AutoFormer's relative positions: keys and values gain, for each pair, the vectors of its
 * row distance and of its column distance, clipped to max_distance; row 0 of a table is for pairs with
 * the class token, row max_distance + 1 for distance 0. Tables have the scale of k and of v. */
typedef struct {
    int32_t grid_size;           /* tokens = grid_size^2, and one more in front with a class token */
    int32_t max_distance;
    const int8_t *key_rows;      /* (2 * max_distance + 2, head_dim), as the three that follow */
    const int8_t *key_columns;
    const int8_t *value_rows;
    const int8_t *value_columns;
    oplib_attention_s8_params attention;
} oplib_attention_relative_s8_params;

/* scratch: 8 * grid_size + 3 * tokens bytes, 4-byte aligned */
void oplib_attention_relative_s8(const int8_t *q, const int8_t *k, const int8_t *v, int8_t *y,
                                 void *scratch, int32_t tokens,
                                 const oplib_attention_relative_s8_params *p);

/* y[i] = table[x[i] + 128].  [in] x (n,)  [out] y (n,); y may be x */
typedef struct {
    const int8_t *table; /* (256,) */
} oplib_gelu_s8_params;

void oplib_gelu_s8(const int8_t *x, int8_t *y, int32_t n, const oplib_gelu_s8_params *p);

/* GELU in integers, t = x - in_zero:
 * sigmoid     y = requant(t * sigma, m, zero), sigma = e^0 / (e^0 + e^(-1.702 |x|)) or its complement;
 * polynomial  y = requant(t * (1 + erf), m, zero), erf by I-BERT's second-order polynomial.
 * [in] x (n,)  [out] y (n,); y may be x */
typedef struct {
    int32_t in_zero_point;
    uint32_t factor;    /* input scale * 2^16 times 1.702 log2(e), or divided by sqrt(2) */
    int32_t multiplier; /* input scale / output scale * 2^17, or 2^16 */
    int32_t zero_point; /* of y */
} oplib_gelu_integer_s8_params;

void oplib_gelu_sigmoid_s8(const int8_t *x, int8_t *y, int32_t n,
                           const oplib_gelu_integer_s8_params *p);
void oplib_gelu_polynomial_s8(const int8_t *x, int8_t *y, int32_t n,
                              const oplib_gelu_integer_s8_params *p);

/* y[i] = saturate8(((a[i] - a_zero) * a_mult + (b[i] - b_zero) * b_mult + 2^15) >> 16) + zero, the
 * sum saturated once.  [in] a, b (n,)  [out] y (n,); y may be a or b */
typedef struct {
    int32_t a_zero_point;
    int32_t a_multiplier; /* a's scale / output scale * 2^16, at most 2^22 */
    int32_t b_zero_point;
    int32_t b_multiplier;
    int32_t zero_point;   /* of y */
} oplib_add_s8_params;

void oplib_add_s8(const int8_t *a, const int8_t *b, int8_t *y, int32_t n,
                  const oplib_add_s8_params *p);

/* y[i] = saturate16((a[i] * 2^8 * a_mult + (b[i] - b_zero) * 2^16 * b_mult + 2^31) >> 32)
 * [in] a, b (n,)  [out] y (n,); y may be a */
typedef struct {
    int32_t a_multiplier; /* a's scale / output scale * 2^24 */
    int32_t b_zero_point;
    int32_t b_multiplier; /* b's scale / output scale * 2^16 */
} oplib_add_s16_params;

void oplib_add_s16(const int16_t *a, const int8_t *b, int16_t *y, int32_t n,
                   const oplib_add_s16_params *p);

/* y[c] = requant((sum_t x[t][c] - n * in_zero) * 2^8, multiplier, zero) over the n tokens from `first`
 * [in] x (tokens, features)  [out] y (features,); y may be the start of x. tokens <= 32767. */
typedef struct {
    int32_t features;
    int32_t first; /* 1 leaves a class token out */
    int32_t in_zero_point;
    int32_t multiplier; /* input scale / (tokens * output scale) * 2^24 */
    int32_t zero_point; /* of y */
} oplib_mean_pool_s8_params;

void oplib_mean_pool_s8(const int8_t *x, int8_t *y, int32_t tokens,
                        const oplib_mean_pool_s8_params *p);

/* y[c] = requant(sum_t x[t][c], multiplier, zero); the same for int16 inputs, without the shift. */
typedef struct {
    int32_t features;
    int32_t first;
    int32_t multiplier; /* input scale / (n * output scale) * 2^32 */
    int32_t zero_point;
} oplib_mean_pool_s16_params;

void oplib_mean_pool_s16(const int16_t *x, int8_t *y, int32_t tokens,
                         const oplib_mean_pool_s16_params *p);

/* The bytes of the first token.  [in] x  [out] y (num_bytes,); y may be x */
typedef struct {
    int32_t num_bytes;
} oplib_take_token_params;

void oplib_take_token(const int8_t *x, int8_t *y, const oplib_take_token_params *p);

/* logits[o] = (acc * multiplier[o] + 2^31) >> 32, not saturated; acc as in oplib_linear_s8.
 * [in] x (in_features,)  [out] logits (out_features,) */
void oplib_classifier_s8(const int8_t *x, int32_t *logits, const oplib_linear_s8_params *p);

#endif
