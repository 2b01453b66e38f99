/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file isqrt.h
 * @brief Integer square root.
 */
#ifndef OPLIB_ISQRT_H
#define OPLIB_ISQRT_H

#include "isa.h"

/* Integer square root by Newton steps from 2^ceil(bits(n) / 2); 0 for n = 0. Four steps give
 * floor(sqrt(n)) or one more (MCUFormer, supplement, algorithm 1); 0 steps mean
 * I-BERT's rule, which stops when a step gains nothing and gives the floor. */
static inline uint32_t oplib_isqrt(uint32_t n, int32_t steps)
{
    if (n == 0u)
        return 0u;
    const int32_t bits = 32 - oplib_count_leading_zeros(n);
    uint32_t x = (uint32_t)1 << ((bits + 1) / 2);
    for (int32_t i = 0; i < steps; i++)
        x = (x + n / x) >> 1;
    for (uint32_t next = x; steps == 0;) {
        next = (x + n / x) >> 1;
        if (next >= x)
            break;
        x = next;
    }
    return x;
}

#endif
