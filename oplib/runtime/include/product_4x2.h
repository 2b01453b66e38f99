/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file product_4x2.h
 * @brief The micro-kernel: products of a tile with two packed channels (tile.h).
 *
 * Its speed is that of its order of instructions, which therefore is the order of the source. No
 * order reads beyond the tile or the weights.
 */
#ifndef OPLIB_PRODUCT_4X2_H
#define OPLIB_PRODUCT_4X2_H

#include "isa.h"

/* A block of 4 tokens by 2 channels: the accumulators that fill the registers of a Cortex-M. */
typedef struct {
    int32_t t0c0, t0c1, t1c0, t1c1, t2c0, t2c1, t3c0, t3c1;
} oplib_block_4x2;

#if OPLIB_DUAL_PRODUCTS

/* Step `i`, half a quad: the word of weights {c0k0 c1k0 c0k1 c1k1} at w, extended to w0 and w1,
 * with the pairs (k0, k1) of four tokens at x, which pass through xa and xb. */
#define OPLIB_STEP_WEIGHTS (OPLIB_WEIGHT_QUAD_BYTES / 2)
#define OPLIB_STEP_PAIRS(i) (x + OPLIB_QUAD_BYTES / 2 * (i))

#if OPLIB_LOADS_INTERLEAVE

/* A load beside each multiply-accumulate that follows the last use of its register. A step begins
 * with its weights in w0, the second channel's in w1, and tokens 0 and 1 in xa and xb, and ends
 * by loading those of the next. */
#define OPLIB_STEP_BEGIN(i)                                                                        \
    OPLIB_EVEN(w0, w0);                                                                            \
    OPLIB_ADD_PRODUCTS(t0c1, w1, xa);                                                              \
    OPLIB_ADD_PRODUCTS(t1c1, w1, xb);                                                              \
    OPLIB_ADD_PRODUCTS(t0c0, w0, xa);                                                              \
    OPLIB_LOAD(xa, OPLIB_STEP_PAIRS(i) + 2 * OPLIB_TOKEN_BYTES);                                   \
    OPLIB_ADD_PRODUCTS(t1c0, w0, xb);                                                              \
    OPLIB_LOAD(xb, OPLIB_STEP_PAIRS(i) + 3 * OPLIB_TOKEN_BYTES);                                   \
    OPLIB_ADD_PRODUCTS(t2c0, w0, xa);                                                              \
    OPLIB_ADD_PRODUCTS(t3c0, w0, xb)
#define OPLIB_STEP_LOAD(i)                                                                         \
    OPLIB_LOAD(w0, w + OPLIB_STEP_WEIGHTS * ((i) + 1));                                            \
    OPLIB_ADD_PRODUCTS(t2c1, w1, xa);                                                              \
    OPLIB_LOAD(xa, OPLIB_STEP_PAIRS((i) + 1));                                                     \
    OPLIB_ADD_PRODUCTS(t3c1, w1, xb);                                                              \
    OPLIB_LOAD(xb, OPLIB_STEP_PAIRS((i) + 1) + OPLIB_TOKEN_BYTES);                                 \
    OPLIB_ODD(w1, w0)
#define OPLIB_STEP(i)                                                                              \
    OPLIB_STEP_BEGIN(i);                                                                           \
    OPLIB_STEP_LOAD(i)
#define OPLIB_STEP_END                                                                             \
    OPLIB_ADD_PRODUCTS(t2c1, w1, xa);                                                              \
    OPLIB_ADD_PRODUCTS(t3c1, w1, xb)

/* Return `sum` plus the products of a tile with two packed channels over `quads` quads, at least
 * one. */
OPLIB_INLINE oplib_block_4x2 oplib_add_product_4x2(oplib_block_4x2 sum, const void *tile,
                                                   const int8_t *weight, int32_t quads)
{
    int32_t t0c0 = sum.t0c0, t0c1 = sum.t0c1, t1c0 = sum.t1c0, t1c1 = sum.t1c1;
    int32_t t2c0 = sum.t2c0, t2c1 = sum.t2c1, t3c0 = sum.t3c0, t3c1 = sum.t3c1;
    const char *x = tile, *const end = x + OPLIB_QUAD_BYTES * quads;
    const char *const turns = x + OPLIB_QUAD_BYTES * (quads & 3);
    const int8_t *w = weight;
    uint32_t w0, w1, xa, xb;
    OPLIB_LOAD(w0, w);
    OPLIB_LOAD(xa, x);
    OPLIB_LOAD(xb, x + OPLIB_TOKEN_BYTES);
    OPLIB_ODD(w1, w0);
    while (x != turns) { /* what is left of four */
        OPLIB_STEP(0);
        OPLIB_STEP_BEGIN(1);
        x += OPLIB_QUAD_BYTES;
        w += OPLIB_WEIGHT_QUAD_BYTES;
        if (x == end) {
            OPLIB_STEP_END;
            goto done; /* with one return, GCC keeps the accumulators in place */
        }
        OPLIB_STEP_LOAD(-1);
    }
    for (;;) { /* four quads at a time */
        OPLIB_STEP(0);
        OPLIB_STEP(1);
        OPLIB_STEP(2);
        OPLIB_STEP(3);
        OPLIB_STEP(4);
        OPLIB_STEP(5);
        OPLIB_STEP(6);
        OPLIB_STEP_BEGIN(7);
        x += 4 * OPLIB_QUAD_BYTES;
        w += 4 * OPLIB_WEIGHT_QUAD_BYTES;
        if (x == end)
            break;
        OPLIB_STEP_LOAD(-1);
    }
    OPLIB_STEP_END;
done:
    return (oplib_block_4x2){t0c0, t0c1, t1c0, t1c1, t2c0, t2c1, t3c0, t3c1};
}
#else

#define OPLIB_STEP_PRODUCTS(i)                                                                     \
    OPLIB_ODD(w1, w0);                                                                             \
    OPLIB_EVEN(w0, w0);                                                                            \
    OPLIB_ADD_PRODUCTS(t0c0, w0, xa);                                                              \
    OPLIB_ADD_PRODUCTS(t0c1, w1, xa);                                                              \
    OPLIB_ADD_PRODUCTS(t1c0, w0, xb);                                                              \
    OPLIB_ADD_PRODUCTS(t1c1, w1, xb);                                                              \
    OPLIB_LOAD_TWO(xa, xb, OPLIB_STEP_PAIRS(i) + 2 * OPLIB_TOKEN_BYTES);                           \
    OPLIB_ADD_PRODUCTS(t2c0, w0, xa);                                                              \
    OPLIB_ADD_PRODUCTS(t2c1, w1, xa);                                                              \
    OPLIB_ADD_PRODUCTS(t3c0, w0, xb);                                                              \
    OPLIB_ADD_PRODUCTS(t3c1, w1, xb)
/* The first of `steps` steps; it advances both pointers over all of them. */
#define OPLIB_STEP_FIRST(steps)                                                                    \
    OPLIB_LOAD_TWO_ADVANCE(xa, xb, x, OPLIB_QUAD_BYTES / 2 * (steps));                             \
    OPLIB_LOAD_ADVANCE(w0, w, OPLIB_STEP_WEIGHTS *(steps));                                        \
    OPLIB_STEP_PRODUCTS(-(steps))
/* A step whose loads form a group of three; one cycle less and one instruction more. */
#define OPLIB_STEP(i)                                                                              \
    OPLIB_LOAD(w0, w + OPLIB_STEP_WEIGHTS * (i));                                                  \
    OPLIB_LOAD(xa, OPLIB_STEP_PAIRS(i));                                                           \
    OPLIB_LOAD(xb, OPLIB_STEP_PAIRS(i) + OPLIB_TOKEN_BYTES);                                       \
    OPLIB_STEP_PRODUCTS(i)
#define OPLIB_STEP_SHORT(i)                                                                        \
    OPLIB_LOAD(w0, w + OPLIB_STEP_WEIGHTS * (i));                                                  \
    OPLIB_LOAD_TWO(xa, xb, OPLIB_STEP_PAIRS(i));                                                   \
    OPLIB_STEP_PRODUCTS(i)

/* As above. */
OPLIB_INLINE oplib_block_4x2 oplib_add_product_4x2(oplib_block_4x2 sum, const void *tile,
                                                   const int8_t *weight, int32_t quads)
{
    int32_t t0c0 = sum.t0c0, t0c1 = sum.t0c1, t1c0 = sum.t1c0, t1c1 = sum.t1c1;
    int32_t t2c0 = sum.t2c0, t2c1 = sum.t2c1, t3c0 = sum.t3c0, t3c1 = sum.t3c1;
    const char *x = tile, *const end = x + OPLIB_QUAD_BYTES * quads;
    const char *const rest = x + OPLIB_QUAD_BYTES * (quads & ~3);
    const int8_t *w = weight;
    uint32_t w0, w1, xa, xb;
    while (x != rest) { /* four quads at a time */
        OPLIB_STEP_FIRST(8);
        OPLIB_STEP(-7);
        OPLIB_STEP(-6);
        OPLIB_STEP(-5);
        OPLIB_STEP(-4);
        OPLIB_STEP(-3);
        OPLIB_STEP(-2);
        OPLIB_STEP_SHORT(-1);
    }
    while (x != end) {
        OPLIB_STEP_FIRST(2);
        OPLIB_STEP_SHORT(-1);
    }
    return (oplib_block_4x2){t0c0, t0c1, t1c0, t1c1, t2c0, t2c1, t3c0, t3c1};
}
#endif

/* The same, from start values of each channel. */
OPLIB_INLINE oplib_block_4x2 oplib_product_4x2(const void *tile, const int8_t *weight,
                                               int32_t quads, int32_t start0, int32_t start1)
{
    const oplib_block_4x2 start = {start0, start1, start0, start1, start0, start1, start0, start1};
    return oplib_add_product_4x2(start, tile, weight, quads);
}

#else
/* Return start values of each channel plus the products; not inlined: without dual products the
 * code is too long for every kernel. */
oplib_block_4x2 oplib_product_4x2(const void *tile, const int8_t *weight, int32_t quads,
                                  int32_t start0, int32_t start1);

/* The same, added to `sum`. */
OPLIB_INLINE oplib_block_4x2 oplib_add_product_4x2(oplib_block_4x2 sum, const void *tile,
                                                   const int8_t *weight, int32_t quads)
{
    const oplib_block_4x2 more = oplib_product_4x2(tile, weight, quads, 0, 0);
    return (oplib_block_4x2){sum.t0c0 + more.t0c0, sum.t0c1 + more.t0c1, sum.t1c0 + more.t1c0,
                             sum.t1c1 + more.t1c1, sum.t2c0 + more.t2c0, sum.t2c1 + more.t2c1,
                             sum.t3c0 + more.t3c0, sum.t3c1 + more.t3c1};
}
#endif

#endif
