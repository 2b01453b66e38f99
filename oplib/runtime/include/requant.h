/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file requant.h
 * @brief All rounding of accumulators to activations (SPEC.md, "The one rounding").
 */
#ifndef OPLIB_REQUANT_H
#define OPLIB_REQUANT_H

#include "isa.h"

/* saturate8((acc * multiplier + zero_point * 2^32 + 2^31) >> 32) */
static inline int8_t oplib_requantize(int32_t acc, int32_t multiplier, int32_t zero_point)
{
    return oplib_saturate_s8(oplib_multiply_high(acc, multiplier, zero_point));
}

/* oplib_requantize() with a result of a whole word, for tables and for tiles. */
OPLIB_INLINE int32_t oplib_requantize_word(int32_t acc, int32_t multiplier, int32_t zero_point)
{
    return oplib_saturate_shifted_s8(oplib_multiply_high(acc, multiplier, zero_point), 0);
}

/* (acc * multiplier + 2^23) >> 24, not saturated: for 16-bit tensors, which have no zero point and
 * scale ratios of up to 128. */
static inline int64_t oplib_multiply_s16(int32_t acc, int32_t multiplier)
{
    return ((int64_t)acc * multiplier + (1 << 23)) >> 24;
}

/* saturate16((acc * multiplier + 2^23) >> 24) */
static inline int16_t oplib_requantize_s16(int32_t acc, int32_t multiplier)
{
    return oplib_saturate_s16(oplib_multiply_s16(acc, multiplier));
}

/* value * ratio, rounded; multiplier = ratio * 2^16, |value| <= 255 */
static inline int32_t oplib_rescale(int32_t value, int32_t multiplier)
{
    return oplib_multiply_high(value * 65536, multiplier, 0);
}

#endif
