/* SPDX-License-Identifier: Apache-2.0
 *
 * Inner products of int8 rows: the block of two tokens by two channels that every matrix product
 * here is made of. Four loads feed four products, so that a load costs half of what it does alone.
 */
#ifndef OPLIB_DOT_S8_H
#define OPLIB_DOT_S8_H

#include <stdint.h>

typedef struct {
    int32_t t0c0, t0c1, t1c0, t1c1;
} oplib_block_2x2;

/* Add x0 . w0, x0 . w1, x1 . w0, x1 . w1 over n elements to the block. */
static inline oplib_block_2x2 oplib_dot_2x2_s8(const int8_t *x0, const int8_t *x1, const int8_t *w0,
                                               const int8_t *w1, int32_t n, oplib_block_2x2 sum)
{
    for (int32_t i = 0; i < n; i++) {
        const int32_t a = x0[i], b = x1[i], c = w0[i], d = w1[i];
        sum.t0c0 += a * c;
        sum.t0c1 += a * d;
        sum.t1c0 += b * c;
        sum.t1c1 += b * d;
    }
    return sum;
}

/* x . w over n elements */
static inline int32_t oplib_dot_s8(const int8_t *x, const int8_t *w, int32_t n)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += (int32_t)x[i] * w[i];
    return sum;
}

#endif
