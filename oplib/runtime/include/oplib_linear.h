/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file oplib_linear.h
 * @brief Linear layers and the classifier. Conventions: oplib.h.
 */
#ifndef OPLIB_LINEAR_H
#define OPLIB_LINEAR_H

#include "geometry.h"
#include "oplib_elementwise.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t in_features;
    int32_t out_features;
    int32_t zero_point;     /* zero point of y */
    const int8_t *weight;   /* packed as tile.h describes; 4-byte aligned */
    const int32_t *requant; /* (out_features / 2, 4): two biases, two multipliers in [0, 2^31) */
    const int8_t *table;    /* (256,): the activation in the epilogue, or NULL */
} oplib_linear_s8_params;

/**
 * @brief Bytes of scratch for every linear layer of these parameters.
 * @param     panel   tokens per pass over the weights
 * @param[in] params  the layer
 */
static inline int32_t oplib_linear_s8_scratch_bytes(int32_t panel,
                                                    const oplib_linear_s8_params *params)
{
    return oplib_panel_bytes(panel, params->in_features);
}

/**
 * @brief Linear layer.
 *
 * y[t][o] = requant(bias[o] + sum_k x[t][k] * weight[o][k], multiplier[o], zero_point) and then, if
 * there is a table, table[y + 128].
 *
 * @param[in]  x        (tokens, in_features)
 * @param[out] y        (tokens, out_features); may be x if scratch is given
 * @param      scratch  oplib_linear_s8_scratch_bytes(); with NULL, rows are read in pairs
 *                      without a tile, at half the speed
 * @param      tokens   number of tokens
 * @param      panel    tokens per pass over the weights, a multiple of 4; unused without scratch,
 *                      where one pass serves all tokens
 * @param[in]  params   the layer
 */
void oplib_linear_s8(const int8_t *x, int8_t *y, void *scratch, int32_t tokens, int32_t panel,
                     const oplib_linear_s8_params *params);

/**
 * @brief Linear layer with int16 results, which have no zero point.
 *
 * y = saturate16((acc * multiplier + 2^23) >> 24), acc as in oplib_linear_s8()
 *
 * @param[in]  x        (tokens, in_features)
 * @param[out] y        (tokens, out_features)
 * @param      scratch  oplib_linear_s8_scratch_bytes()
 * @param      tokens   number of tokens
 * @param      panel    tokens per pass over the weights, a multiple of 4
 * @param[in]  params   the layer, without a table
 */
void oplib_linear_s8_s16(const int8_t *x, int16_t *y, void *scratch, int32_t tokens, int32_t panel,
                         const oplib_linear_s8_params *params);

/**
 * @brief oplib_linear_s8() of int16 inputs.
 * @param[in]  x        (tokens, in_features), in_features at most 384
 * @param[out] y        (tokens, out_features)
 * @param      scratch  oplib_linear_s8_scratch_bytes()
 * @param      tokens   number of tokens
 * @param      panel    tokens per pass over the weights, a multiple of 4
 * @param[in]  params   the layer
 */
void oplib_linear_s16_s8(const int16_t *x, int8_t *y, void *scratch, int32_t tokens, int32_t panel,
                         const oplib_linear_s8_params *params);

typedef struct {
    const oplib_linear_s8_params *linear;
    const oplib_add_s8_params *add; /* a is the stream, b the layer's result */
} oplib_linear_add_s8_params;

/** @brief Bytes of scratch of oplib_linear_add_s8() for panels of `panel` tokens. */
static inline int32_t oplib_linear_add_s8_scratch_bytes(int32_t panel,
                                                        const oplib_linear_add_s8_params *params)
{
    return oplib_linear_s8_scratch_bytes(panel, params->linear);
}

/**
 * @brief Linear layer with the residual addition in its epilogue: stream = add(stream, linear(x)).
 * @param[in]     x        (tokens, in_features)
 * @param[in,out] stream   (tokens, out_features)
 * @param         scratch  oplib_linear_add_s8_scratch_bytes()
 * @param         tokens   number of tokens
 * @param         panel    tokens per pass over the weights, a multiple of 4
 * @param[in]     params   the layer and the addition
 */
void oplib_linear_add_s8(const int8_t *x, int8_t *stream, void *scratch, int32_t tokens,
                         int32_t panel, const oplib_linear_add_s8_params *params);

/**
 * @brief The last layer: logits[o] = (acc * multiplier[o] + 2^31) >> 32, not saturated.
 * @param[in]  x       (in_features,)
 * @param[out] logits  (out_features,)
 * @param[in]  params  the layer; acc as in oplib_linear_s8(), zero_point and table unused
 */
void oplib_classifier_s8(const int8_t *x, int32_t *logits, const oplib_linear_s8_params *params);

#ifdef __cplusplus
}
#endif

#endif
