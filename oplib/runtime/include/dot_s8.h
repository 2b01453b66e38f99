/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file dot_s8.h
 * @brief Inner products of int8 rows without a tile.
 */
#ifndef OPLIB_DOT_S8_H
#define OPLIB_DOT_S8_H

#include "isa.h"

typedef struct {
    int32_t t0c0, t0c1, t1c0, t1c1;
} oplib_block_2x2;

/* Add the products of four features of two tokens, one word of int8 per token, and a packed quad
 * (tile.h). */
OPLIB_INLINE oplib_block_2x2 oplib_quad_2x2(oplib_block_2x2 sum, uint32_t x0, uint32_t x1,
                                            const int8_t *weight)
{
    const uint32_t even = oplib_load_u32(weight);
    const uint32_t odd = oplib_load_u32(weight + OPLIB_WEIGHT_QUAD_BYTES / 2);
    const uint32_t c0k02 = oplib_even_bytes(even), c1k02 = oplib_odd_bytes(even);
    const uint32_t c0k13 = oplib_even_bytes(odd), c1k13 = oplib_odd_bytes(odd);
    const uint32_t t0k02 = oplib_even_bytes(x0), t0k13 = oplib_odd_bytes(x0);
    const uint32_t t1k02 = oplib_even_bytes(x1), t1k13 = oplib_odd_bytes(x1);
    sum.t0c0 =
        oplib_dual_multiply_add(t0k13, c0k13, oplib_dual_multiply_add(t0k02, c0k02, sum.t0c0));
    sum.t0c1 =
        oplib_dual_multiply_add(t0k13, c1k13, oplib_dual_multiply_add(t0k02, c1k02, sum.t0c1));
    sum.t1c0 =
        oplib_dual_multiply_add(t1k13, c0k13, oplib_dual_multiply_add(t1k02, c0k02, sum.t1c0));
    sum.t1c1 =
        oplib_dual_multiply_add(t1k13, c1k13, oplib_dual_multiply_add(t1k02, c1k02, sum.t1c1));
    return sum;
}

/* Add the products of two rows of n features with two packed channels. */
OPLIB_INLINE oplib_block_2x2 oplib_product_2x2(const uint8_t *x0, const uint8_t *x1,
                                               const int8_t *weight, int32_t n, oplib_block_2x2 sum)
{
    for (; n >= OPLIB_QUAD; n -= OPLIB_QUAD, x0 += OPLIB_QUAD, x1 += OPLIB_QUAD) {
        sum = oplib_quad_2x2(sum, oplib_load_u32(x0), oplib_load_u32(x1), weight);
        weight += OPLIB_WEIGHT_QUAD_BYTES;
    }
    if (n > 0) { /* the padding has weights of 0 */
        uint32_t t0 = 0u, t1 = 0u;
        for (int32_t i = 0; i < n; i++) {
            t0 |= (uint32_t)x0[i] << 8 * i;
            t1 |= (uint32_t)x1[i] << 8 * i;
        }
        sum = oplib_quad_2x2(sum, t0, t1, weight);
    }
    return sum;
}

/* Inner product of two unpacked rows of n elements. */
static inline int32_t oplib_dot_s8(const int8_t *x, const int8_t *w, int32_t n)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += (int32_t)x[i] * w[i];
    return sum;
}

#endif
