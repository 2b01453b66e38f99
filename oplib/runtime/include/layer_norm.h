/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file layer_norm.h
 * @brief Layer normalisation of one token in integers (SPEC.md, "Layer norm").
 */
#ifndef OPLIB_LAYER_NORM_H
#define OPLIB_LAYER_NORM_H

#include "isqrt.h"
#include "oplib.h"
#include "requant.h"

/* Constants of one token: (x - mean) / deviation = (x * factor + offset) * inverse, with 23
 * fraction bits after the high product. */
typedef struct {
    int32_t factor, offset, inverse;
} oplib_normal;

/* Exact statistics: features^2 times the variance is features * squares - sum^2 + eps, below 2^52.
 * An even shift brings it to [2^30, 2^32); to the right it drops insignificant bits. */
OPLIB_INLINE oplib_normal oplib_normalise(int32_t sum, uint64_t squares,
                                          const oplib_layer_norm_s8_params *params)
{
    const uint32_t features = (uint32_t)params->features;
    const uint64_t variance = squares * features - (uint64_t)((int64_t)sum * sum) + params->eps;
    const uint32_t high = (uint32_t)(variance >> 32), low = (uint32_t)variance;
    int32_t shift = 30;
    uint32_t scaled = (uint32_t)1 << 30; /* a variance of 0 counts as 1 */
    if (high != 0u) {
        const int32_t left = oplib_count_leading_zeros(high) & ~1;
        shift = left - 32;
        scaled = high << left | low >> -shift;
    } else if (low != 0u) {
        shift = oplib_count_leading_zeros(low) & ~1;
        scaled = low << shift;
    }
    const uint32_t root = oplib_isqrt(scaled, params->sqrt_steps);     /* [2^15, 2^16] */
    const int32_t inverse = (int32_t)(0x7fffffffu / root) * (1 << 14); /* 2^45 / root */
    const uint32_t scale = (uint32_t)1 << (shift / 2 + 10);
    oplib_normal normal = {(int32_t)(features * scale), (int32_t)(0u - (uint32_t)sum * scale),
                           inverse};
    OPLIB_OPAQUE(normal.offset);
    return normal;
}

OPLIB_INLINE void oplib_count_word(uint32_t word, int32_t *sum, int32_t *squares)
{
    const uint32_t even = oplib_even_bytes(word), odd = oplib_odd_bytes(word);
    *squares = oplib_dual_multiply_add(even, even, *squares);
    *sum = oplib_dual_multiply_add(even, 0x00010001u, *sum);
    *squares = oplib_dual_multiply_add(odd, odd, *squares);
    *sum = oplib_dual_multiply_add(odd, 0x00010001u, *sum);
}

OPLIB_INLINE oplib_normal oplib_normal_s8(const int8_t *x, const oplib_layer_norm_s8_params *params)
{
    const int32_t features = params->features;
    int32_t sum = 0, squares = 0;
    const int8_t *const end = x + features, *const whole = x + (features & ~15);
    for (; x != whole; x += 16) {
        oplib_count_word(oplib_load_u32(x), &sum, &squares);
        oplib_count_word(oplib_load_u32(x + 4), &sum, &squares);
        oplib_count_word(oplib_load_u32(x + 8), &sum, &squares);
        oplib_count_word(oplib_load_u32(x + 12), &sum, &squares);
    }
    for (; x != end; x++) {
        sum += *x;
        squares += (int32_t)*x * *x;
    }
    return oplib_normalise(sum, (uint32_t)squares, params);
}

OPLIB_INLINE oplib_normal oplib_normal_s16(const oplib_memory_s16 *x,
                                           const oplib_layer_norm_s8_params *params)
{
    int32_t sum = 0;
    uint64_t squares = 0u;
    for (int32_t c = 0; c < params->features; c++) {
        sum += x[c];
        squares += (uint32_t)(x[c] * x[c]);
    }
    return oplib_normalise(sum, squares, params);
}

/* affine: gamma and beta of the channel */
OPLIB_INLINE int32_t oplib_normal_value(int32_t x, oplib_normal normal, const int32_t *affine)
{
    const uint64_t both = oplib_load_u64(affine);
    const int32_t centred =
        (int32_t)((uint32_t)x * (uint32_t)normal.factor + (uint32_t)normal.offset);
    const int32_t normalised = oplib_multiply_high(centred, normal.inverse, 0);
    const int32_t value =
        oplib_multiply_high(normalised, (int32_t)(uint32_t)both, (int32_t)(uint32_t)(both >> 32));
    return oplib_saturate_shifted_s8(value, 7);
}

/* Put a row, normalised, into its place in a tile. The row holds int16 if `wide`, which is a
 * constant where this is inlined, and int8 otherwise. */
OPLIB_INLINE void oplib_normalise_row(const void *row, int wide, oplib_normal normal, char *tile,
                                      const oplib_layer_norm_s8_params *params)
{
    const int8_t *x = row;
    const oplib_memory_s16 *xs = row;
    const int32_t *affine = params->affine;
#define OPLIB_NORMAL(i) oplib_normal_value(wide != 0 ? xs[i] : x[i], normal, affine + 2 * (i))
    for (int32_t quads = params->features / OPLIB_QUAD; quads > 0; quads--) {
        const int32_t a = OPLIB_NORMAL(0), b = OPLIB_NORMAL(1);
        const int32_t c = OPLIB_NORMAL(2), d = OPLIB_NORMAL(3);
        oplib_store_u32(tile, oplib_halves(a, c));
        oplib_store_u32(tile + OPLIB_QUAD_ODD, oplib_halves(b, d));
        x += OPLIB_QUAD;
        xs += OPLIB_QUAD;
        affine += 2 * OPLIB_QUAD;
        tile += OPLIB_QUAD_BYTES;
    }
    const int32_t rest = params->features % OPLIB_QUAD;
    if (rest != 0) {
        const int32_t a = OPLIB_NORMAL(0);
        const int32_t b = rest > 1 ? OPLIB_NORMAL(1) : 0, c = rest > 2 ? OPLIB_NORMAL(2) : 0;
        oplib_store_u32(tile, oplib_halves(a, c));
        oplib_store_u32(tile + OPLIB_QUAD_ODD, oplib_halves(b, 0));
    }
#undef OPLIB_NORMAL
}

#endif
