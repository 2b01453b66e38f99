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

/* Patches of an image, embedded, plus positions:
 * y[t][o] = saturate8(round(acc * multiplier[o] / 2^32) + zero_point + position[t][o]), where acc is
 * the linear form over the patch's pixels less 128, in the order row, column, channel. Pixels
 * outside the image have the value pad[channel]. */
typedef struct {
    int32_t img_size;    /* side of the square image */
    int32_t in_chans;    /* at most 4 */
    int32_t patch_size;
    int32_t grid_size;   /* patches along one side */
    int32_t pad_before;  /* pixels of padding above and to the left */
    uint8_t pad[4];      /* raw pixel value of the padding, a channel each */
    const int8_t *position; /* (grid_size^2, out_features) */
    oplib_linear_s8_params linear;
} oplib_patch_embed_s8_params;

/* [in] image (img_size, img_size, in_chans), raw pixels  [out] y (grid_size^2, out_features)
 * scratch: 2 * patch_size^2 * in_chans bytes */
void oplib_patch_embed_s8(const uint8_t *image, int8_t *y, int8_t *scratch,
                          const oplib_patch_embed_s8_params *p);

/* Layer normalisation over the features of each token; integer statistics are exact. */
typedef struct {
    int32_t features;       /* at most 511 */
    uint32_t eps;           /* eps * features^2 / input scale^2 */
    int32_t sqrt_steps;     /* Newton steps of the square root */
    const int32_t *gamma;   /* gamma / output scale * 2^16 */
    const int32_t *beta;    /* (beta / output scale + zero point) * 2^7 + 2^6 */
} oplib_layer_norm_s8_params;

/* [in] x (tokens, features)  [out] y (tokens, features); y may be x */
void oplib_layer_norm_s8(const int8_t *x, int8_t *y, int32_t tokens,
                         const oplib_layer_norm_s8_params *p);

/* Unnormalised softmax of one row: weights[j] = exp_table[max(scores) - scores[j]].
 * [in] scores (n,), exp_table (256,)  [out] weights (n,); returns their sum. n <= 511. */
uint32_t oplib_softmax_s8(const int8_t *scores, uint16_t *weights, int32_t n,
                          const uint16_t *exp_table);

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
    const uint16_t *exp_table;     /* (256,) */
} oplib_attention_s8_params;

/* [in] q, k, v (tokens, num_heads * head_dim), zero point 0  [out] y alike; y may be q
 * scratch: 3 * tokens bytes rounded up to 8, 2-byte aligned. tokens <= 511. */
void oplib_attention_s8(const int8_t *q, const int8_t *k, const int8_t *v, int8_t *y,
                        void *scratch, int32_t tokens, const oplib_attention_s8_params *p);

/* y[i] = table[x[i] + 128].  [in] x (n,)  [out] y (n,); y may be x */
typedef struct {
    const int8_t *table; /* (256,) */
} oplib_gelu_s8_params;

void oplib_gelu_s8(const int8_t *x, int8_t *y, int32_t n, const oplib_gelu_s8_params *p);

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

/* y[c] = requant((sum_t x[t][c] - tokens * in_zero) * 2^8, multiplier, zero)
 * [in] x (tokens, features)  [out] y (features,); y may be the start of x. tokens <= 32767. */
typedef struct {
    int32_t features;
    int32_t in_zero_point;
    int32_t multiplier; /* input scale / (tokens * output scale) * 2^24 */
    int32_t zero_point; /* of y */
} oplib_mean_pool_s8_params;

void oplib_mean_pool_s8(const int8_t *x, int8_t *y, int32_t tokens,
                        const oplib_mean_pool_s8_params *p);

/* logits[o] = (acc * multiplier[o] + 2^31) >> 32, not saturated; acc as in oplib_linear_s8.
 * [in] x (in_features,)  [out] logits (out_features,) */
void oplib_classifier_s8(const int8_t *x, int32_t *logits, const oplib_linear_s8_params *p);

#endif
