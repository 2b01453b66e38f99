/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file relative.h
 * @brief The grid positions of a tile of queries, for kernels with relative positions.
 *
 * A vector's index is its distance plus oplib_relative_reach(): 0 for the most negative one.
 */
#ifndef OPLIB_RELATIVE_H
#define OPLIB_RELATIVE_H

#include "isa.h"
#include "oplib.h"

/* One axis of the grid. */
typedef struct {
    int32_t place[OPLIB_TILE_TOKENS]; /* coordinate of each query */
    int32_t first, last;              /* indices of the vectors that the queries use */
} oplib_relative_axis;

/* A tile of queries; its padding repeats the last one. */
typedef struct {
    int32_t class_queries; /* 1 if the first query is the class token, which has no coordinates */
    oplib_relative_axis rows, columns;
} oplib_relative_queries;

/* Index of the vector for a key's distance from a query. */
OPLIB_INLINE int32_t oplib_relative_index(int32_t key, int32_t query, int32_t reach)
{
    const int32_t index = key - query + reach;
    return index < 0 ? 0 : index > 2 * reach ? 2 * reach : index;
}

#endif
