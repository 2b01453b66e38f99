/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file exp2.h
 * @brief Integer exponentials with 15 fraction bits, for softmax and GELU without a table.
 */
#ifndef OPLIB_EXP2_H
#define OPLIB_EXP2_H

#include <stdint.h>

#define OPLIB_ONE 32767u

/* 2^-w, w with 16 fraction bits: I-BERT's second-order polynomial (Kim et al., 2021, section 3.4)
 * for the fraction, a shift for the whole part. */
static inline uint32_t oplib_exp2_polynomial(uint32_t w)
{
    const uint32_t whole = w >> 16, f = w & 0xffffu;
    if (whole > 15u)
        return 0u;
    const uint32_t square = (f * f) >> 16;
    return (OPLIB_ONE - ((44047u * f) >> 17) + ((11277u * square) >> 17)) >> whole;
}

/* e^-w, w with 16 fraction bits: I-ViT's shifts (Li and Gu, 2023, section 3.3), log2(e) as 1.4375
 * and a straight line for the fraction. w < 2^31. */
static inline uint32_t oplib_exp_shift(uint32_t w)
{
    const uint32_t binary = w + (w >> 1) - (w >> 4);
    const uint32_t whole = binary >> 16, f = binary & 0xffffu;
    return whole > 15u ? 0u : (OPLIB_ONE - (f >> 2)) >> whole;
}

#endif
