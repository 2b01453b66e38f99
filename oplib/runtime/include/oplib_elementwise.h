/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file oplib_elementwise.h
 * @brief Layer norm, activations, residual addition and pooling of tokens. Conventions: oplib.h.
 */
#ifndef OPLIB_ELEMENTWISE_H
#define OPLIB_ELEMENTWISE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t features;   /* at most 1024 */
    int32_t sqrt_steps; /* Newton steps of the square root; 0 is I-BERT's stopping rule */
    /* eps * features^2 / input scale^2; with features^2 * 127.5^2, of int16 inputs with
     * features^2 * 32767.5^2, below 2^52 */
    uint64_t eps;
    /* (features, 2): gamma / output scale * 2^16,
     * (beta / output scale + zero point) * 2^7 + 2^6 */
    const int32_t *affine;
} oplib_layer_norm_s8_params;

/**
 * @brief Layer normalisation over the features of each token, from exact integer statistics.
 * @param[in]  x       (tokens, features)
 * @param[out] y       (tokens, features); may be x
 * @param      tokens  number of tokens
 * @param[in]  params  constants
 */
void oplib_layer_norm_s8(const int8_t *x, int8_t *y, int32_t tokens,
                         const oplib_layer_norm_s8_params *params);

/**
 * @brief oplib_layer_norm_s8() of int16 inputs.
 * @param[in]  x       (tokens, features)
 * @param[out] y       (tokens, features)
 * @param      tokens  number of tokens
 * @param[in]  params  constants
 */
void oplib_layer_norm_s16(const int16_t *x, int8_t *y, int32_t tokens,
                          const oplib_layer_norm_s8_params *params);

typedef struct {
    const int8_t *table; /* (256,) */
} oplib_table_s8_params;

/**
 * @brief A function of one value, by table: y[i] = table[x[i] + 128].
 * @param[in]  x       (n,)
 * @param[out] y       (n,); may be x
 * @param      n       number of elements
 * @param[in]  params  the table
 */
void oplib_table_s8(const int8_t *x, int8_t *y, int32_t n, const oplib_table_s8_params *params);

typedef struct {
    int32_t in_zero_point;
    uint32_t factor;    /* input scale * 1.702 * log2(e) * 2^16 */
    int32_t multiplier; /* input scale / output scale * 2^17 */
    int32_t zero_point; /* zero point of y */
} oplib_gelu_sigmoid_s8_params;

/**
 * @brief GELU as x * sigmoid(1.702 x), in integers.
 *
 * y = requant(t * sigma, multiplier, zero_point), where t = x - in_zero_point and sigma is
 * e^0 / (e^0 + e^(-1.702 |x|)) or, for negative x, its complement.
 *
 * @param[in]  x       (n,)
 * @param[out] y       (n,); may be x
 * @param      n       number of elements
 * @param[in]  params  constants
 */
void oplib_gelu_sigmoid_s8(const int8_t *x, int8_t *y, int32_t n,
                           const oplib_gelu_sigmoid_s8_params *params);

typedef struct {
    int32_t in_zero_point;
    uint32_t factor;    /* input scale / sqrt(2) * 2^16 */
    int32_t multiplier; /* input scale / output scale * 2^16 */
    int32_t zero_point; /* zero point of y */
} oplib_gelu_polynomial_s8_params;

/**
 * @brief GELU as x * (1 + erf(x / sqrt(2))) / 2, with I-BERT's second-order polynomial as erf.
 *
 * y = requant(t * (1 + erf), multiplier, zero_point), where t = x - in_zero_point.
 *
 * @param[in]  x       (n,)
 * @param[out] y       (n,); may be x
 * @param      n       number of elements
 * @param[in]  params  constants
 */
void oplib_gelu_polynomial_s8(const int8_t *x, int8_t *y, int32_t n,
                              const oplib_gelu_polynomial_s8_params *params);

typedef struct {
    int32_t a_zero_point;
    int32_t a_multiplier; /* scale of a / output scale * 2^16, at most 2^21 */
    int32_t b_zero_point;
    int32_t b_multiplier; /* scale of b / output scale * 2^16, at most 2^21 */
    int32_t zero_point;   /* zero point of y */
} oplib_add_s8_params;

/**
 * @brief Residual addition.
 *
 * y[i] = saturate8((((a[i] - a_zero_point) * a_multiplier + (b[i] - b_zero_point) * b_multiplier +
 * 2^15) >> 16) + zero_point)
 *
 * @param[in]  a       (n,)
 * @param[in]  b       (n,)
 * @param[out] y       (n,); may be a or b
 * @param      n       number of elements
 * @param[in]  params  constants
 */
void oplib_add_s8(const int8_t *a, const int8_t *b, int8_t *y, int32_t n,
                  const oplib_add_s8_params *params);

typedef struct {
    int32_t a_multiplier; /* scale of a / output scale * 2^24 */
    int32_t b_zero_point;
    int32_t b_multiplier; /* scale of b / output scale * 2^16 */
} oplib_add_s16_params;

/**
 * @brief Residual addition of an int8 branch to an int16 stream.
 *
 * y[i] = saturate16((a[i] * 2^8 * a_multiplier + (b[i] - b_zero_point) * 2^16 * b_multiplier +
 * 2^31) >> 32)
 *
 * @param[in]  a       (n,)
 * @param[in]  b       (n,)
 * @param[out] y       (n,); may be a
 * @param      n       number of elements
 * @param[in]  params  constants
 */
void oplib_add_s16(const int16_t *a, const int8_t *b, int16_t *y, int32_t n,
                   const oplib_add_s16_params *params);

typedef struct {
    int32_t features;
    int32_t first; /* 1 leaves a class token out, 0 takes every token */
    int32_t in_zero_point;
    int32_t multiplier; /* input scale / (pooled tokens * output scale) * 2^24 */
    int32_t zero_point; /* zero point of y */
} oplib_mean_pool_s8_params;

/**
 * @brief Mean over the tokens from `first` on.
 *
 * y[c] = requant(sum_t (x[t][c] - in_zero_point) * 2^8, multiplier, zero_point)
 *
 * @param[in]  x       (tokens, features)
 * @param[out] y       (features,); may be the start of x
 * @param      tokens  number of tokens, at most 32767
 * @param[in]  params  constants
 */
void oplib_mean_pool_s8(const int8_t *x, int8_t *y, int32_t tokens,
                        const oplib_mean_pool_s8_params *params);

typedef struct {
    int32_t features;
    int32_t first;
    int32_t multiplier; /* input scale / (pooled tokens * output scale) * 2^32 */
    int32_t zero_point;
} oplib_mean_pool_s16_params;

/**
 * @brief Mean of int16 tokens: y[c] = requant(sum_t x[t][c], multiplier, zero_point).
 * @param[in]  x       (tokens, features)
 * @param[out] y       (features,)
 * @param      tokens  number of tokens, at most 32767
 * @param[in]  params  constants
 */
void oplib_mean_pool_s16(const int16_t *x, int8_t *y, int32_t tokens,
                         const oplib_mean_pool_s16_params *params);

typedef struct {
    int32_t num_bytes; /* size of one token */
} oplib_take_token_params;

/**
 * @brief Copy the first token, the class token.
 * @param[in]  x       (tokens, num_bytes)
 * @param[out] y       (num_bytes,); may be x
 * @param[in]  params  constants
 */
void oplib_take_token(const int8_t *x, int8_t *y, const oplib_take_token_params *params);

#ifdef __cplusplus
}
#endif

#endif
