/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file add_s16.h
 * @brief Addition of an int8 branch to one value of an int16 stream (SPEC.md, "Operators").
 */
#ifndef OPLIB_ADD_S16_H
#define OPLIB_ADD_S16_H

#include "isa.h"
#include "oplib_elementwise.h"

/* a: value of the stream; b: code of the branch */
static inline int16_t oplib_add_value_s16(int32_t a, int32_t b, const oplib_add_s16_params *params)
{
    const int64_t left = (int64_t)(a * 256) * params->a_multiplier;
    const int64_t right = (int64_t)((b - params->b_zero_point) * 65536) * params->b_multiplier;
    return oplib_saturate_s16((left + right + ((int64_t)1 << 31)) >> 32);
}

#endif
