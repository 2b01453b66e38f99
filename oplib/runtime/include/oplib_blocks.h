/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file oplib_blocks.h
 * @brief Half a transformer block in one call, a panel of tokens at a time. Conventions: oplib.h.
 */
#ifndef OPLIB_BLOCKS_H
#define OPLIB_BLOCKS_H

#include <stddef.h>

#include "oplib_attention.h"
#include "oplib_elementwise.h"
#include "oplib_linear.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @brief Layer norm of `tokens` rows of the residual stream into a panel.
 *
 * A panel holds tiles of four tokens in int16 (geometry.h); it is 8-byte aligned.
 *
 * @param[in]  stream  (tokens, features): int8, or int16
 * @param      tokens  number of tokens
 * @param[out] panel   oplib_panel_bytes(tokens, features)
 * @param[in]  params  the norm
 */
typedef void (*oplib_norm_kernel)(const void *stream, int32_t tokens, void *panel,
                                  const oplib_layer_norm_s8_params *params);
void oplib_tile_layer_norm_s8(const void *stream, int32_t tokens, void *panel,
                              const oplib_layer_norm_s8_params *params);
void oplib_tile_layer_norm_s16(const void *stream, int32_t tokens, void *panel,
                               const oplib_layer_norm_s8_params *params);

/**
 * @brief Channels [first, first + count) of a linear layer from a panel into another one, as int8
 * or, for the first of two factors, as int16.
 * @param[in]  panel   oplib_panel_bytes(tokens, in_features)
 * @param[out] out     oplib_panel_bytes(tokens, count)
 * @param      tokens  number of tokens
 * @param      first   first channel; even
 * @param      count   number of channels
 * @param[in]  params  the layer; _s8 looks up its table
 */
typedef void (*oplib_factor_kernel)(const void *panel, void *out, int32_t tokens, int32_t first,
                                    int32_t count, const oplib_linear_s8_params *params);
void oplib_tile_linear_tile_s8(const void *panel, void *out, int32_t tokens, int32_t first,
                               int32_t count, const oplib_linear_s8_params *params);
void oplib_tile_linear_tile_s16(const void *panel, void *out, int32_t tokens, int32_t first,
                                int32_t count, const oplib_linear_s8_params *params);

/**
 * @brief A function of each value of a panel, in place.
 * @param[in,out] panel   the panel
 * @param         n       number of its int16, padding included
 * @param[in]     params  those of the kernel of the same name without `tile_`
 */
typedef void (*oplib_activation_kernel)(void *panel, int32_t n, const void *params);
void oplib_tile_gelu_polynomial_s8(void *panel, int32_t n, const void *params);
void oplib_tile_gelu_sigmoid_s8(void *panel, int32_t n, const void *params);

/**
 * @brief All channels of a linear layer, added to rows of the residual stream.
 * @param[in]     panel   oplib_panel_bytes(tokens, in_features)
 * @param[in,out] stream  (tokens, out_features): int8, or int16
 * @param         stride  distance of its rows, in elements
 * @param         tokens  number of tokens
 * @param[in]     params  the layer
 * @param[in]     add     oplib_add_s8_params, or oplib_add_s16_params
 */
typedef void (*oplib_add_kernel)(const void *panel, void *stream, int32_t stride, int32_t tokens,
                                 const oplib_linear_s8_params *params, const void *add);
void oplib_tile_linear_add_s8(const void *panel, void *stream, int32_t stride, int32_t tokens,
                              const oplib_linear_s8_params *params, const void *add);
void oplib_tile_linear_add_s16(const void *panel, void *stream, int32_t stride, int32_t tokens,
                               const oplib_linear_s8_params *params, const void *add);

/** @brief Bytes of a panel of a low-rank factor's results; none if the layer is dense. */
static inline int32_t oplib_factor_bytes(int32_t panel, const oplib_linear_s8_params *factor)
{
    return factor == NULL ? 0 : oplib_panel_bytes(panel, factor->out_features);
}

/** @brief The MLP of a block. A kernel stands behind the layer that it computes. */
typedef struct {
    const oplib_layer_norm_s8_params *norm;
    oplib_norm_kernel norm_kernel;
    const oplib_linear_s8_params *fc1_factor; /* NULL if fc1 is dense, as its kernel */
    oplib_factor_kernel fc1_factor_kernel;
    const oplib_linear_s8_params *fc1;
    const void *activation; /* NULL if it is fc1's table, as its kernel */
    oplib_activation_kernel activation_kernel;
    const oplib_linear_s8_params *fc2_factor; /* NULL if fc2 is dense, as its kernel */
    oplib_factor_kernel fc2_factor_kernel;
    const oplib_linear_s8_params *fc2;
    const void *add;
    oplib_add_kernel add_kernel;
    int32_t item_bytes;    /* of one element of the residual stream: 1, or 2 */
    int32_t panel;         /* tokens per pass over the weights; a multiple of 4 */
    int32_t hidden_offset; /* oplib_mlp_block_s8_hidden_offset() */
} oplib_mlp_block_s8_params;

/**
 * @brief Byte of scratch at which the hidden panel begins.
 *
 * The bytes before it are used twice: first for the normalised tokens and fc1's factor, and, when
 * fc1 has read them, for fc2's factor.
 */
static inline int32_t oplib_mlp_block_s8_hidden_offset(const oplib_mlp_block_s8_params *params)
{
    const int32_t before = oplib_panel_bytes(params->panel, params->norm->features) +
                           oplib_factor_bytes(params->panel, params->fc1_factor);
    const int32_t after = oplib_factor_bytes(params->panel, params->fc2_factor);
    return before > after ? before : after;
}

/** @brief Bytes of scratch of oplib_mlp_block_s8(); hidden_offset need not be set. */
static inline int32_t oplib_mlp_block_s8_scratch_bytes(const oplib_mlp_block_s8_params *params)
{
    return oplib_mlp_block_s8_hidden_offset(params) +
           oplib_panel_bytes(params->panel, params->fc1->out_features);
}

/**
 * @brief The MLP of a block, in place: x = add(x, fc2(activation(fc1(norm(x))))).
 * @param[in,out] x        (tokens, features), int8 or int16
 * @param         scratch  oplib_mlp_block_s8_scratch_bytes()
 * @param         tokens   number of tokens
 * @param[in]     params   the layers
 */
void oplib_mlp_block_s8(void *x, void *scratch, int32_t tokens,
                        const oplib_mlp_block_s8_params *params);

/**
 * @brief The attention of a block.
 *
 * `group` heads are computed at a time: `group` = num_heads keeps all keys and values and passes
 * over the tokens once; `group` = 1 keeps one head's and passes over the tokens once per head.
 */
typedef struct {
    const oplib_layer_norm_s8_params *norm;
    oplib_norm_kernel norm_kernel;
    const oplib_linear_s8_params *qkv_factor; /* NULL if q, k and v are dense, as its kernel */
    oplib_factor_kernel qkv_factor_kernel;
    const oplib_linear_s8_params *q;
    const oplib_linear_s8_params *k;
    const oplib_linear_s8_params *v;
    const oplib_attention_s8_params *attention;         /* head_dim a multiple of 4 */
    const oplib_attention_relative_s8_params *relative; /* its owner, or NULL without positions */
    const oplib_linear_s8_params *proj_factor;          /* NULL if proj is dense, as its kernel */
    oplib_factor_kernel proj_factor_kernel;
    const oplib_linear_s8_params *proj;
    const void *add;
    oplib_add_kernel add_kernel;
    int32_t item_bytes; /* of one element of the residual stream: 1, or 2 */
    int32_t group;
    int32_t read_panel; /* tokens per pass over the weights of keys, values and earlier queries */
    int32_t panel;      /* the same for the last group's queries and the projection */
    /* bytes of scratch at which its parts begin; oplib_attention_block_s8_lay_out() sets them */
    int32_t keys_offset;    /* one group's keys, packed as weights */
    int32_t values_offset;  /* one group's values, packed as weights */
    int32_t vectors_offset; /* packed vectors of relative positions, if there are any */
    int32_t slots_offset;   /* (tokens, heads before the last group): queries, then outputs */
    int32_t queries_offset; /* panel of the last group's queries; a read panel begins here too */
    int32_t work_offset; /* panels of normalised tokens and factors; working memory of attention */
    int32_t outputs_offset; /* in the work area: panel of the projection's input */
} oplib_attention_block_s8_params;

/** @brief Bytes of a panel of normalised tokens and of the factor of q, k and v. */
static inline int32_t
oplib_attention_block_s8_reading_bytes(int32_t panel, const oplib_attention_block_s8_params *params)
{
    return oplib_panel_bytes(panel, params->norm->features) +
           oplib_factor_bytes(panel, params->qkv_factor);
}

/** @brief Rows of a head's values: those of tokens, and of the class token's vectors. */
static inline int32_t oplib_block_values(int32_t tokens,
                                         const oplib_attention_block_s8_params *params)
{
    return params->relative == NULL ? tokens : oplib_relative_values(tokens, params->relative);
}

/**
 * @brief Set the offsets, which the other members and the number of tokens determine.
 * @return bytes of scratch of oplib_attention_block_s8()
 */
static inline int32_t oplib_attention_block_s8_lay_out(int32_t tokens,
                                                       oplib_attention_block_s8_params *params)
{
    const oplib_attention_s8_params *attention = params->attention;
    const int32_t before = attention->num_heads - params->group, dim = attention->head_dim;
    const oplib_attention_relative_s8_params *relative = params->relative;
    const int32_t keys = params->group * dim * oplib_padded(tokens);
    const int32_t values = params->group * dim * oplib_padded(oplib_block_values(tokens, params));
    const int32_t vectors = relative == NULL ? 0 : oplib_relative_bytes(relative);
    const int32_t read = oplib_attention_block_s8_reading_bytes(params->read_panel, params);
    const int32_t reading = oplib_attention_block_s8_reading_bytes(params->panel, params);
    /* the projection's factor reuses the attention's working memory */
    const int32_t attending = relative == NULL
                                ? oplib_attention_work_bytes(tokens, attention)
                                : oplib_attention_relative_work_bytes(tokens, relative);
    const int32_t factor = oplib_factor_bytes(params->panel, params->proj_factor);
    params->outputs_offset = oplib_aligned(attending > factor ? attending : factor);
    const int32_t projecting =
        params->outputs_offset + oplib_panel_bytes(params->panel, attention->num_heads * dim);
    params->keys_offset = 0;
    params->values_offset = oplib_aligned(keys);
    params->vectors_offset = params->values_offset + oplib_aligned(values);
    params->slots_offset = params->vectors_offset + oplib_aligned(vectors);
    params->queries_offset = params->slots_offset + oplib_aligned(tokens * before * dim);
    params->work_offset =
        params->queries_offset + oplib_panel_bytes(params->panel, params->group * dim);
    const int32_t end =
        params->work_offset + oplib_aligned(reading > projecting ? reading : projecting);
    return end > params->queries_offset + read ? end : params->queries_offset + read;
}

/** @brief Bytes of scratch of oplib_attention_block_s8(); the offsets need not be set. */
static inline int32_t
oplib_attention_block_s8_scratch_bytes(int32_t tokens,
                                       const oplib_attention_block_s8_params *params)
{
    oplib_attention_block_s8_params copy = *params;
    return oplib_attention_block_s8_lay_out(tokens, &copy);
}

/**
 * @brief The attention of a block, in place: x = add(x, proj(attention(q, k, v of norm(x)))).
 *
 * Outputs of all groups but the last wait in slots; the last group is projected and added a panel
 * of tokens at a time.
 *
 * @param[in,out] x        (tokens, features), int8 or int16
 * @param         scratch  oplib_attention_block_s8_scratch_bytes()
 * @param         tokens   number of tokens, at most 1024
 * @param[in]     params   the layers
 */
void oplib_attention_block_s8(void *x, void *scratch, int32_t tokens,
                              const oplib_attention_block_s8_params *params);

/** @brief The same with relative positions. */
void oplib_attention_relative_block_s8(void *x, void *scratch, int32_t tokens,
                                       const oplib_attention_block_s8_params *params);

#ifdef __cplusplus
}
#endif

#endif
