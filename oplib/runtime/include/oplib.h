/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file oplib.h
 * @brief Integer operators of a vision transformer, C99, for the host and for Cortex-M.
 *
 * Conventions
 *   - Activations are int8, one scale and zero point per tensor: real = scale * (q - zero_point).
 *   - Tokens are rows: a (tokens, features) tensor is row-major without gaps.
 *   - Weights are int8, one scale per output channel, zero point 0. Biases are int32 in units of
 *     (input scale * weight scale) and already include the input's zero point.
 *   - requant(acc, m, z) = saturate8((acc * m + z * 2^32 + 2^31) >> 32), the one rounding.
 *   - Every buffer, scratch included, belongs to the caller; no function keeps state. A kernel that
 *     needs scratch has a function oplib_..._scratch_bytes() beside it.
 *   - Buffers are 8-byte aligned and must not overlap unless the description allows it.
 *   - Buffers are plain memory: int8, int16 and int32 values may follow one another in the same
 *     bytes. Kernels access them through the types of isa.h, so gcc, clang and armclang need no
 *     -fno-strict-aliasing, with link-time optimisation or without; for another compiler switch
 *     type-based alias analysis off.
 *
 * SPEC.md defines every operator to the bit.
 */
#ifndef OPLIB_H
#define OPLIB_H

#include "oplib_attention.h"   /* softmax, attention, attention with relative positions */
#include "oplib_blocks.h"      /* an MLP or the attention of a transformer block in one call */
#include "oplib_elementwise.h" /* layer norm, activations, addition, pooling of tokens */
#include "oplib_image.h"       /* patch embedding, convolution, tokens of a tokenizer */
#include "oplib_linear.h"      /* linear layers and the classifier */

#endif
