/* SPDX-License-Identifier: Apache-2.0 */
#include "isa.h"

#if !OPLIB_DUAL_PRODUCTS
oplib_block_4x2 oplib_product_4x2(const void *tile, const int8_t *weight, int32_t quads,
                                  int32_t start0, int32_t start1)
{
    int32_t t0c0 = start0, t0c1 = start1, t1c0 = start0, t1c1 = start1;
    int32_t t2c0 = start0, t2c1 = start1, t3c0 = start0, t3c1 = start1;
    const oplib_memory_s16 *x = tile;
    /* a quad is twice the halfwords {t0 t0} {t1 t1} {t2 t2} {t3 t3} and two features of weights
     * each */
    const int8_t *const end = weight + OPLIB_WEIGHT_QUAD_BYTES * quads;
    for (; weight != end; weight += 4, x += 8) {
        for (int32_t k = 0; k < 2; k++) {
            const int32_t c0 = weight[2 * k], c1 = weight[2 * k + 1];
            int32_t value = x[k];
            t0c0 += value * c0;
            t0c1 += value * c1;
            value = x[k + 2];
            t1c0 += value * c0;
            t1c1 += value * c1;
            value = x[k + 4];
            t2c0 += value * c0;
            t2c1 += value * c1;
            value = x[k + 6];
            t3c0 += value * c0;
            t3c1 += value * c1;
        }
    }
    const oplib_block_4x2 sum = {t0c0, t0c1, t1c0, t1c1, t2c0, t2c1, t3c0, t3c1};
    return sum;
}
#else
typedef int oplib_product_is_inline; /* a translation unit must not be empty */
#endif
