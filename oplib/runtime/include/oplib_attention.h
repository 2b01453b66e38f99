/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file oplib_attention.h
 * @brief Softmax and multi-head attention. Conventions: oplib.h.
 */
#ifndef OPLIB_ATTENTION_H
#define OPLIB_ATTENTION_H

#include <stdint.h>

#include "geometry.h"

#ifdef __cplusplus
extern "C" {
#endif

/** @brief How e^x is computed. */
enum { OPLIB_SOFTMAX_TABLE = 0, OPLIB_SOFTMAX_POLYNOMIAL = 1, OPLIB_SOFTMAX_SHIFT = 2 };

typedef struct {
    int32_t form;              /* OPLIB_SOFTMAX_... */
    int32_t normalized;        /* 1: weights are rounded to 127 * e / sum(e) */
    uint32_t exponent;         /* score scale (times log2(e) for the polynomial) * 2^16 */
    int32_t dropped_bits;      /* 1 beyond 512 scores: weights have a bit less, as has the table */
    const uint16_t *exp_table; /* (256,), or NULL */
} oplib_softmax_s8_params;

/**
 * @brief Softmax of one row: weights[j] = e^(scores[j] - max(scores)) with 15 fraction bits,
 * less those dropped.
 * @param[in]  scores   (n,)
 * @param[out] weights  (n,)
 * @param      n        number of scores, at most 1024
 * @param[in]  params   the form
 * @return the sum of the weights, or 127 if they are normalized
 */
uint32_t oplib_softmax_s8(const int8_t *scores, uint16_t *weights, int32_t n,
                          const oplib_softmax_s8_params *params);

typedef struct {
    int32_t num_heads;
    int32_t head_dim;
    int32_t score_multiplier;
    int32_t zero_point;       /* zero point of y */
    uint64_t value_numerator; /* value scale / output scale * 2^32 */
    oplib_softmax_s8_params softmax;
} oplib_attention_s8_params;

/**
 * @brief Bytes of working memory for four query tokens of one head: a tile of weights, four rows of
 * scores and, unless the softmax is an unnormalised table, one row of weights.
 */
static inline int32_t oplib_attention_work_bytes(int32_t tokens,
                                                 const oplib_attention_s8_params *params)
{
    const oplib_softmax_s8_params *softmax = &params->softmax;
    const int plain = softmax->form == OPLIB_SOFTMAX_TABLE && softmax->normalized == 0;
    const int32_t scores = OPLIB_TILE_TOKENS * oplib_padded(tokens);
    const int32_t row = plain != 0 ? 0 : (int32_t)sizeof(uint16_t) * oplib_padded(tokens);
    return oplib_tile_bytes(tokens) + scores + row;
}

/**
 * @brief Bytes of scratch of oplib_attention_s8(): one head's keys and values, a tile of queries
 * and the work of four tokens.
 */
static inline int32_t oplib_attention_s8_scratch_bytes(int32_t tokens,
                                                       const oplib_attention_s8_params *params)
{
    const int32_t keys = oplib_weight_bytes(params->head_dim, tokens);
    const int32_t values = oplib_weight_bytes(tokens, params->head_dim);
    return keys + values + oplib_tile_bytes(params->head_dim) +
           oplib_aligned(oplib_attention_work_bytes(tokens, params));
}

/**
 * @brief Multi-head attention. Per head and query token:
 *
 *     score[j] = requant(q . k[j], score_multiplier, 0)
 *     y        = requant(sum_j weights[j] * v[j], m, zero_point),
 *     m        = (value_numerator + sum / 2) / sum
 *
 * with weights and their sum from oplib_softmax_s8().
 *
 * @param[in]  q        (tokens, num_heads * head_dim), zero point 0, as k and v
 * @param[in]  k        the same shape
 * @param[in]  v        the same shape
 * @param[out] y        the same shape; may be q
 * @param      scratch  oplib_attention_s8_scratch_bytes()
 * @param      tokens   number of tokens, at most 1024
 * @param[in]  params   constants
 */
void oplib_attention_s8(const int8_t *q, const int8_t *k, const int8_t *v, int8_t *y, void *scratch,
                        int32_t tokens, const oplib_attention_s8_params *params);

typedef struct {
    int32_t grid_size; /* tokens = grid_size^2, preceded by a class token if there is one */
    int32_t max_distance;
    const int8_t *key_rows; /* (2 * max_distance + 2, head_dim), as the next three */
    const int8_t *key_columns;
    const int8_t *value_rows;
    const int8_t *value_columns;
    oplib_attention_s8_params attention;
} oplib_attention_relative_s8_params;

/** @brief Largest distance of two patches, by rows or by columns, that has vectors of its own. */
static inline int32_t oplib_relative_reach(const oplib_attention_relative_s8_params *params)
{
    const int32_t farthest = params->grid_size - 1;
    return params->max_distance < farthest ? params->max_distance : farthest;
}

/** @brief Distances along one axis, from -reach to reach. */
static inline int32_t oplib_relative_distances(const oplib_attention_relative_s8_params *params)
{
    return 2 * oplib_relative_reach(params) + 1;
}

/** @brief Bytes of the keys' vectors, packed as weights: the class token's pair, rows, columns. */
static inline int32_t oplib_relative_key_bytes(const oplib_attention_relative_s8_params *params)
{
    const int32_t channels = 2 + 2 * oplib_even(oplib_relative_distances(params));
    return oplib_weight_bytes(params->attention.head_dim, channels);
}

/** @brief Bytes of all vectors, packed: those of keys, then those of values by rows and columns. */
static inline int32_t oplib_relative_bytes(const oplib_attention_relative_s8_params *params)
{
    const int32_t features = 2 * oplib_padded(oplib_relative_distances(params));
    return oplib_relative_key_bytes(params) +
           oplib_weight_bytes(features, params->attention.head_dim);
}

/** @brief Tokens of the values, with two more for the class token's vectors if there is one. */
static inline int32_t oplib_relative_values(int32_t tokens,
                                            const oplib_attention_relative_s8_params *params)
{
    return tokens + 2 * (tokens - params->grid_size * params->grid_size);
}

/** @brief Bytes of a tile of sums of weights, by the distances along both axes. */
static inline int32_t oplib_relative_tile_bytes(const oplib_attention_relative_s8_params *params)
{
    return 2 * oplib_tile_bytes(oplib_relative_distances(params));
}

/**
 * @brief Bytes of working memory for four query tokens of one head: tiles of weights and of their
 * sums; then four rows of scores, one row of weights and the queries' products with the vectors of
 * each row, each column and the class token, or the products of the values' vectors.
 */
static inline int32_t
oplib_attention_relative_work_bytes(int32_t tokens,
                                    const oplib_attention_relative_s8_params *params)
{
    const int32_t products = OPLIB_TILE_TOKENS * (int32_t)sizeof(int32_t);
    const int32_t before = (OPLIB_TILE_TOKENS + (int32_t)sizeof(uint16_t)) * oplib_padded(tokens) +
                           products * (2 * params->grid_size + 2);
    const int32_t after = products * oplib_even(params->attention.head_dim);
    return oplib_tile_bytes(oplib_relative_values(tokens, params)) +
           oplib_relative_tile_bytes(params) + (before > after ? before : after);
}

/**
 * @brief Bytes of scratch of oplib_attention_relative_s8(): one head's keys and values, the packed
 * vectors, a tile of queries and the work of four tokens.
 */
static inline int32_t
oplib_attention_relative_s8_scratch_bytes(int32_t tokens,
                                          const oplib_attention_relative_s8_params *params)
{
    const int32_t dim = params->attention.head_dim;
    return oplib_weight_bytes(dim, tokens) +
           oplib_weight_bytes(oplib_relative_values(tokens, params), dim) +
           oplib_relative_bytes(params) + oplib_tile_bytes(dim) +
           oplib_attention_relative_work_bytes(tokens, params);
}

/**
 * @brief Attention with AutoFormer's relative positions.
 *
 * For each pair of tokens, keys and values gain the vectors of the pair's row distance and column
 * distance, clipped to max_distance. Row 0 of a table is for pairs with the class token, row
 * max_distance + 1 for distance 0. Tables have the scale of k and of v. The weights of a query are
 * shifted to the right until their sum is below 2^15.
 *
 * @param[in]  q        (tokens, num_heads * head_dim), zero point 0, as k and v
 * @param[in]  k        the same shape
 * @param[in]  v        the same shape
 * @param[out] y        the same shape; may be q
 * @param      scratch  oplib_attention_relative_s8_scratch_bytes()
 * @param      tokens   number of tokens, at most 1024
 * @param[in]  params   constants
 */
void oplib_attention_relative_s8(const int8_t *q, const int8_t *k, const int8_t *v, int8_t *y,
                                 void *scratch, int32_t tokens,
                                 const oplib_attention_relative_s8_params *params);

#ifdef __cplusplus
}
#endif

#endif
