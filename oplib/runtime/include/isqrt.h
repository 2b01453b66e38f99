/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file isqrt.h
 * @brief Integer square root.
 */
#ifndef OPLIB_ISQRT_H
#define OPLIB_ISQRT_H

#include "isa.h"

/* Integer square root of n in [2^30, 2^32) by Newton steps from 2^ceil(bits(n) / 2) = 2^16. Four
 * steps give floor(sqrt(n)) or one more (MCUFormer, supplement, algorithm 1); 0 steps mean
 * I-BERT's rule, which stops when a step gains nothing and gives the floor. */
static inline uint32_t oplib_isqrt(uint32_t n, int32_t steps)
{
    uint32_t x = 65536u;
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
