/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file geometry.h
 * @brief Sizes of tiles, packed weights and scratch (SPEC.md, "Tiles and packed weights").
 *
 * The scratch functions of the public headers return sums of these sizes; tile.h draws the layout
 * of tiles and packed weights.
 */
#ifndef OPLIB_GEOMETRY_H
#define OPLIB_GEOMETRY_H

#include <stdint.h>

#define OPLIB_ALIGNMENT 8         /* bytes to which buffers and parts of scratch are aligned */
#define OPLIB_TILE_TOKENS 4       /* tokens in a tile */
#define OPLIB_QUAD 4              /* features in a group, in tiles and packed weights */
#define OPLIB_QUAD_BYTES 32       /* one quad of a tile: 4 tokens x 4 features x int16 */
#define OPLIB_QUAD_ODD 16         /* byte of a quad at which k1 and k3 begin */
#define OPLIB_FEATURE_BYTES 8     /* one feature of a tile: 4 tokens x int16, spread over a quad */
#define OPLIB_TOKEN_BYTES 4       /* one token in each half of a quad: two int16 */
#define OPLIB_WEIGHT_QUAD_BYTES 8 /* one quad of packed weights: 2 channels x 4 features x int8 */
#define OPLIB_FLIP_U8 0x80808080u /* exclusive-or: four pixels p to codes p - 128 */
#define OPLIB_FLIP_PIXEL 0x80u    /* exclusive-or for one pixel */

/** @brief Number of quads that hold `features`. */
static inline int32_t oplib_quads(int32_t features)
{
    return (int32_t)(((uint32_t)features + OPLIB_QUAD - 1u) / OPLIB_QUAD);
}

/** @brief Features padded to whole quads. */
static inline int32_t oplib_padded(int32_t features)
{
    return OPLIB_QUAD * oplib_quads(features);
}

/** @brief Channels padded to an even number. */
static inline int32_t oplib_even(int32_t channels)
{
    return (channels + 1) / 2 * 2;
}

/** @brief Bytes of a tile: four tokens with `features` features each, int16. */
static inline int32_t oplib_tile_bytes(int32_t features)
{
    return OPLIB_QUAD_BYTES * oplib_quads(features);
}

/** @brief Bytes of the tiles of `tokens` tokens. */
static inline int32_t oplib_panel_bytes(int32_t tokens, int32_t features)
{
    return oplib_quads(tokens) * oplib_tile_bytes(features);
}

/** @brief Bytes of packed weights: `channels` x `features`, both padded. */
static inline int32_t oplib_weight_bytes(int32_t features, int32_t channels)
{
    return OPLIB_WEIGHT_QUAD_BYTES * oplib_quads(features) * ((channels + 1) / 2);
}

/** @brief Bytes rounded up to the alignment of buffers. */
static inline int32_t oplib_aligned(int32_t bytes)
{
    return (bytes + OPLIB_ALIGNMENT - 1) / OPLIB_ALIGNMENT * OPLIB_ALIGNMENT;
}

#endif
