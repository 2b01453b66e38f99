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

/* y[t][o] = requant(bias[o] + sum_k x[t][k] * weight[o][k], multiplier[o], zero_point), and then, where
 * there is a table, table[y + 128]. Weights are packed (tile.h): two channels by four features a group,
 * padded with zeros to even channels and whole quads of features. */
typedef struct {
    int32_t in_features;
    int32_t out_features;
    int32_t zero_point;     /* of y */
    const int8_t *weight;   /* packed; 4-byte aligned */
    const int32_t *requant; /* (out_features / 2, 4): two biases, two multipliers in [0, 2^31) */
    const int8_t *table;    /* (256,): GELU in the epilogue, or null */
} oplib_linear_s8_params;

/* [in] x (tokens, in_features)  [out] y (tokens, out_features)
 * scratch: one tile, 8 bytes for each feature padded to whole quads, 8-byte aligned; y may then be x. With
 * null, rows are read in pairs where they lie, at half the speed. */
void oplib_linear_s8(const int8_t *x, int8_t *y, void *scratch, int32_t tokens,
                     const oplib_linear_s8_params *p);

/* The residual addition in the epilogue: stream = add(stream, linear(x)), with the arithmetic of
 * oplib_add_s8, a the stream and b the branch.
 * [in] x (tokens, in_features)  [in, out] stream (tokens, out_features)  scratch: one tile */
struct oplib_add_s8;
typedef struct {
    const oplib_linear_s8_params *linear;
    const struct oplib_add_s8 *add;
} oplib_linear_add_s8_params;

void oplib_linear_add_s8(const int8_t *x, int8_t *stream, void *scratch, int32_t tokens,
                         const oplib_linear_add_s8_params *p);

/* oplib_linear_s8 with an int16 result, which has no zero point: y = saturate16((acc * m + 2^23) >> 24).
 * [in] x (tokens, in_features)  [out] y (tokens, out_features)  scratch: one tile */
void oplib_linear_s8_s16(const int8_t *x, int16_t *y, void *scratch, int32_t tokens,
                         const oplib_linear_s8_params *p);

/* oplib_linear_s8 with int16 inputs; in_features at most 384. scratch: one tile */
void oplib_linear_s16_s8(const int16_t *x, int8_t *y, void *scratch, int32_t tokens,
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
    int32_t direct;      /* patches lie inside the image and their rows are whole words */
    int32_t tile_from;   /* without scratch: the first token whose tile fits below its strip */
    uint8_t pad[4];      /* raw pixel value of the padding, a channel each */
    const int8_t *position; /* (first + grid_size^2, out_features), or null without positions */
    oplib_linear_s8_params linear;
} oplib_patch_embed_s8_params;

/* Embed the patches [token, token + count).
 * [in] rows: the image (img_size, img_size, in_chans), raw pixels, from row `first_row` on
 * [out] y (first + grid_size^2, out_features), all tokens
 * scratch: one tile, and 4 * patch_size^2 * in_chans bytes more if not direct. With null (direct patches
 * only) tokens before tile_from are computed in pairs without a tile and later ones on a tile that lies
 * directly below the strip of patches they begin in: y may then overlap rows of the image that are
 * read no more, as the memory planner proves. */
void oplib_patch_embed_s8(const uint8_t *rows, int32_t first_row, int8_t *y, void *scratch,
                          int32_t token, int32_t count, const oplib_patch_embed_s8_params *p);

/* The same of an image that is handed over: `fetch` puts rows [first, first + count) of the image, each once
 * and in order, at `rows`.
 * [out] y  scratch: patch_size rows of the image, rounded up to 8 bytes, and oplib_patch_embed_s8's */
typedef void (*oplib_fetch_rows)(uint8_t *rows, int32_t first, int32_t count);
void oplib_patch_embed_strips_s8(oplib_fetch_rows fetch, int8_t *y, void *scratch,
                                 const oplib_patch_embed_s8_params *p);

/* The same in (patch_size / kernel)^2 passes of small kernels, for int8 and for int16 results, which have
 * no zero point and multipliers of 24 fraction bits. The packed weights of (out_features, kernel^2 *
 * in_chans) lie one pass after the other. */
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

/* Rows, tokens and strips as in oplib_patch_embed_s8.
 * scratch: 16 bytes for each channel (padded to an even number), one tile of kernel^2 * in_chans features,
 * and 4 bytes for each of these features */
void oplib_patch_embed_passes_s8(const uint8_t *rows, int32_t first_row, int8_t *y, void *scratch,
                                 int32_t token, int32_t count,
                                 const oplib_patch_embed_passes_params *p);
void oplib_patch_embed_passes_strips_s8(oplib_fetch_rows fetch, int8_t *y, void *scratch,
                                        const oplib_patch_embed_passes_params *p);
void oplib_patch_embed_passes_s16(const uint8_t *image, int16_t *y, void *scratch,
                                  const oplib_patch_embed_passes_params *p);

/* 3 x 3 convolution with one pixel of padding, ReLU, and 3 x 3 max pooling of stride 2, a row at a
 * time. conv_size = ceil(in_size / stride); y has ceil(conv_size / 2) rows and columns. Weights are
 * (out_features, 9 * in_chans) in the order row, column, channel, packed. */
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
 * scratch: one tile of 9 * in_chans features, 36 * in_chans + 3 * conv_size * out_features bytes */
void oplib_conv_pool_s8(const uint8_t *x, int8_t *y, void *scratch,
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
    const int32_t *affine;  /* (features, 2): gamma / output scale * 2^16, and
                             * (beta / output scale + zero point) * 2^7 + 2^6 */
} oplib_layer_norm_s8_params;

/* [in] x (tokens, features)  [out] y (tokens, features); y may be x */
void oplib_layer_norm_s8(const int8_t *x, int8_t *y, int32_t tokens,
                         const oplib_layer_norm_s8_params *p);

/* The same with int16 inputs. */
typedef struct {
    int32_t features; /* at most 511 */
    int32_t sqrt_steps;
    uint64_t eps;
    const int32_t *affine;
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
 * scratch, 8-byte aligned: one head's keys, its values, a tile of queries and the weights of four rows;
 * the planner's size is the reference (oplib/ops/attention.py). tokens <= 511. */
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
} oplib_table_s8_params;

void oplib_table_s8(const int8_t *x, int8_t *y, int32_t n, const oplib_table_s8_params *p);

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
typedef struct oplib_add_s8 {
    int32_t a_zero_point;
    int32_t a_multiplier; /* a's scale / output scale * 2^16, at most 2^21 */
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

/* Building blocks on tiles of four tokens (tile.h). Tiles are 8-byte aligned and take 8 bytes for each
 * feature, padded to whole quads. Where fewer than four tokens are left, the last one is repeated. */

/* Pack four rows of bytes, each taken with `flip` exclusive-or'ed. */
void oplib_tile_pack_rows_s8(const uint8_t *const rows[4], int32_t features, uint32_t flip, void *tile);

/* Pack `tokens` rows, `stride` apart. */
void oplib_tile_pack_s8(const int8_t *x, int32_t stride, int32_t tokens, int32_t features,
                        void *tile);

/* Layer norm of `tokens` rows into a tile. */
void oplib_tile_layer_norm_s8(const int8_t *x, int32_t tokens, void *tile,
                              const oplib_layer_norm_s8_params *p);

/* Channels [first, first + count) of a linear layer; `first` is even.
 * linear_s8: into rows, `stride` apart.  linear_tile_s8: into a tile that is not the input.
 * linear_add_s8: all channels, added to rows of the residual stream.
 * linear_key_s8, linear_value_s8: one head's keys and values, count = head_dim a multiple of 4, in weight
 * layout: keys as channels, values with tokens as features. `token` is the tile's first token. */
void oplib_tile_linear_s8(const void *tile, int8_t *y, int32_t stride, int32_t tokens, int32_t first,
                          int32_t count, const oplib_linear_s8_params *p);
void oplib_tile_linear_tile_s8(const void *tile, void *out, int32_t first, int32_t count,
                               const oplib_linear_s8_params *p);
void oplib_tile_linear_add_s8(const void *tile, int8_t *x, int32_t stride, int32_t tokens,
                              const oplib_linear_s8_params *p, const oplib_add_s8_params *add);
void oplib_tile_linear_key_s8(const void *tile, int8_t *keys, int32_t token, int32_t first,
                              int32_t count, const oplib_linear_s8_params *p);
void oplib_tile_linear_value_s8(const void *tile, int8_t *values, int32_t token, int32_t tokens,
                                int32_t first, int32_t count, const oplib_linear_s8_params *p);

/* One head's scores for a tile of queries: rows of int8, as far apart as tokens padded to a multiple of 4. */
void oplib_tile_scores_s8(const void *query, const int8_t *keys, int32_t tokens, int8_t *scores,
                          const oplib_attention_s8_params *p);

/* The weights of four rows of scores, into a tile with tokens as features, and the multiplier of each row's
 * outputs. row: 2 bytes a token, used where the softmax is no unnormalised table */
void oplib_tile_softmax_s8(const int8_t *scores, int32_t tokens, void *weights, uint16_t *row,
                           int32_t multipliers[4], const oplib_attention_s8_params *p);

/* One head's attention for a tile of queries, keys and values in weight layout; into rows, or into a tile.
 * scratch: with n tokens padded to a multiple of 4, 12 * n bytes, or 14 * n where the softmax is no
 * unnormalised table */
void oplib_tile_attention_rows_s8(const void *query, const int8_t *keys, const int8_t *values,
                                  int32_t tokens, int8_t *y, int32_t stride, int32_t rows,
                                  void *scratch, const oplib_attention_s8_params *p);
void oplib_tile_attention_tile_s8(const void *query, const int8_t *keys, const int8_t *values,
                                  int32_t tokens, void *tile, void *scratch,
                                  const oplib_attention_s8_params *p);

/* A whole transformer block's MLP, a tile of tokens at a time, in place:
 * x = add(x, fc2(gelu(fc1(norm(x))))), with fc1's table as GELU; factors of low rank may be null.
 * scratch: tiles of the normalised tokens and of fc1's factor, or of fc2's factor in their place, up to
 * hidden_offset, and of the hidden features */
typedef struct {
    const oplib_layer_norm_s8_params *norm;
    const oplib_linear_s8_params *fc1_factor;
    const oplib_linear_s8_params *fc1;
    const oplib_linear_s8_params *fc2_factor;
    const oplib_linear_s8_params *fc2;
    const oplib_add_s8_params *add;
    int32_t hidden_offset;
} oplib_mlp_block_s8_params;

/* [in, out] x (tokens, features) */
void oplib_mlp_block_s8(int8_t *x, void *scratch, int32_t tokens,
                        const oplib_mlp_block_s8_params *p);

/* A whole block's attention in place: x = add(x, proj(attention(q, k, v of norm(x)))). Heads are taken in
 * groups: keys and values of one group at a time; outputs of all groups but the last wait in slots; the
 * last group is projected and added a tile of tokens at a time. group = num_heads is "tokens outer",
 * group = 1 "heads outer". head_dim is a multiple of 4; factors of low rank may be null. */
typedef struct {
    const oplib_layer_norm_s8_params *norm;
    const oplib_linear_s8_params *qkv_factor;
    const oplib_linear_s8_params *q;
    const oplib_linear_s8_params *k;
    const oplib_linear_s8_params *v;
    const oplib_attention_s8_params *attention;
    const oplib_linear_s8_params *proj_factor;
    const oplib_linear_s8_params *proj;
    const oplib_add_s8_params *add;
    int32_t group;
    int32_t keys_offset;    /* in scratch, in bytes, as those that follow */
    int32_t values_offset;
    int32_t slots_offset;
    int32_t queries_offset;
    int32_t work_offset;
    int32_t outputs_offset; /* of the projection's input, in the work area */
} oplib_attention_block_s8_params;

/* [in, out] x (tokens, features)  scratch: oplib/ops/attention_block.py lays it out */
void oplib_attention_block_s8(int8_t *x, void *scratch, int32_t tokens,
                              const oplib_attention_block_s8_params *p);

#endif
