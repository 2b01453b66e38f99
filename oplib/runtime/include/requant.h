/* SPDX-License-Identifier: Apache-2.0
 *
 * All rounding of accumulators to activations (SPEC.md, "The one rounding").
 */
#ifndef OPLIB_REQUANT_H
#define OPLIB_REQUANT_H

#include "isa.h"

/* saturate8((acc * multiplier + zero_point * 2^32 + 2^31) >> 32) */
static inline int8_t oplib_requantize(int32_t acc, int32_t multiplier, int32_t zero_point)
{
    return oplib_saturate_s8(oplib_multiply_high(acc, multiplier, zero_point));
}

#endif
