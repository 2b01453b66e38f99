/* SPDX-License-Identifier: Apache-2.0 */
#include "product_4x2.h"

#if !OPLIB_DUAL_PRODUCTS
/* Feature `k` of four tokens, halfwords {k0 k2} or {k1 k3} of each, with weights of two channels:
 * eight products after two groups of loads. */
#define ADD_FEATURE(x, weight)                                                                     \
    OPLIB_LOAD_S8(c0, weight);                                                                     \
    OPLIB_LOAD_S8(c1, (weight) + 1);                                                               \
    OPLIB_LOAD_S16(a, x);                                                                          \
    OPLIB_LOAD_S16(b, (x) + 2);                                                                    \
    OPLIB_ADD_PRODUCT(t0c0, a, c0);                                                                \
    OPLIB_ADD_PRODUCT(t0c1, a, c1);                                                                \
    OPLIB_ADD_PRODUCT(t1c0, b, c0);                                                                \
    OPLIB_ADD_PRODUCT(t1c1, b, c1);                                                                \
    OPLIB_LOAD_S16(a, (x) + 4);                                                                    \
    OPLIB_LOAD_S16(b, (x) + 6);                                                                    \
    OPLIB_ADD_PRODUCT(t2c0, a, c0);                                                                \
    OPLIB_ADD_PRODUCT(t2c1, a, c1);                                                                \
    OPLIB_ADD_PRODUCT(t3c0, b, c0);                                                                \
    OPLIB_ADD_PRODUCT(t3c1, b, c1)

oplib_block_4x2 oplib_product_4x2(const void *tile, const int8_t *weight, int32_t quads,
                                  int32_t start0, int32_t start1)
{
    int32_t t0c0 = start0, t0c1 = start1, t1c0 = start0, t1c1 = start1;
    int32_t t2c0 = start0, t2c1 = start1, t3c0 = start0, t3c1 = start1;
    const oplib_memory_s16 *x = tile;
    const int8_t *const end = weight + OPLIB_WEIGHT_QUAD_BYTES * quads;
    for (; weight != end; weight += OPLIB_WEIGHT_QUAD_BYTES, x += OPLIB_QUAD_BYTES / 2) {
        int32_t a, b, c0, c1;
        ADD_FEATURE(x, weight);
        ADD_FEATURE(x + 1, weight + 2);
        ADD_FEATURE(x + 8, weight + 4);
        ADD_FEATURE(x + 9, weight + 6);
    }
    const oplib_block_4x2 sum = {t0c0, t0c1, t1c0, t1c1, t2c0, t2c1, t3c0, t3c1};
    return sum;
}
#else
typedef int oplib_product_is_inline; /* a translation unit must not be empty */
#endif
