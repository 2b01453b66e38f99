/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file gelu.h
 * @brief GELU of one value without a table (SPEC.md, "Operators").
 */
#ifndef OPLIB_GELU_H
#define OPLIB_GELU_H

#include "exp2.h"
#include "oplib_elementwise.h"
#include "requant.h"

#define OPLIB_ERF_CLIP 7246      /* 1.769 with 12 fraction bits */
#define OPLIB_ERF_CURVATURE 9463 /* 0.2888 with 15 fraction bits */

/* x: a code of int8 */
static inline int8_t oplib_gelu_sigmoid(int32_t x, const oplib_gelu_sigmoid_s8_params *params)
{
    const int32_t t = x - params->in_zero_point;
    const uint32_t e = oplib_exp2_polynomial((uint32_t)(t < 0 ? -t : t) * params->factor);
    const uint32_t above = t < 0 ? e : OPLIB_ONE; /* softmax over {1.702 x, 0} */
    const uint32_t sum = OPLIB_ONE + e;
    const int32_t sigmoid = (int32_t)(((above << 15) + sum / 2u) / sum);
    return oplib_requantize(t * sigmoid, params->multiplier, params->zero_point);
}

/* x: a code of int8 */
static inline int8_t oplib_gelu_polynomial(int32_t x, const oplib_gelu_polynomial_s8_params *params)
{
    const int32_t t = x - params->in_zero_point;
    const uint32_t u = ((uint32_t)(t < 0 ? -t : t) * params->factor) >> 4; /* |x| / sqrt(2) */
    const int32_t short_of = u < OPLIB_ERF_CLIP ? OPLIB_ERF_CLIP - (int32_t)u : 0;
    const int32_t drop = (((short_of * short_of) >> 9) * OPLIB_ERF_CURVATURE) >> 15;
    const int32_t erf = t == 0 ? 0 : 32768 - drop;
    const int32_t twice = t < 0 ? 32768 - erf : 32768 + erf;
    return oplib_requantize(t * twice, params->multiplier, params->zero_point);
}

#endif
