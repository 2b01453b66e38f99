/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file attention_block.h
 * @brief What a block's attention with and without relative positions share.
 */
#ifndef OPLIB_ATTENTION_BLOCK_H
#define OPLIB_ATTENTION_BLOCK_H

#include "tile.h"

typedef struct {
    int8_t *keys, *values;          /* current group's, packed as weights */
    int32_t key_bytes, value_bytes; /* of one head */
    const int8_t *vectors;          /* of relative positions */
    int8_t *slots;                  /* (tokens, heads before the last group * head_dim) */
    char *queries;                  /* one panel */
    char *work;                     /* working memory for one panel of tokens */
} oplib_block_areas;

/* The steps that differ. complete_values: called when a head's values are packed, or NULL. rows,
 * tile: one head's outputs for the tile of queries from `token` on, which may be overwritten, into
 * rows or into a tile. */
typedef struct {
    void (*complete_values)(int8_t *values, int32_t tokens,
                            const oplib_attention_relative_s8_params *params);
    void (*rows)(char *query, int32_t token, const int8_t *keys, const int8_t *values,
                 int32_t tokens, int8_t *y, int32_t stride, const oplib_block_areas *areas,
                 const oplib_attention_block_s8_params *params);
    void (*tile)(char *query, int32_t token, const int8_t *keys, const int8_t *values,
                 int32_t tokens, void *tile, const oplib_block_areas *areas,
                 const oplib_attention_block_s8_params *params);
} oplib_block_steps;

void oplib_run_attention_block(void *x, void *scratch, int32_t tokens,
                               const oplib_attention_block_s8_params *params,
                               const oplib_block_steps *steps);

#endif
