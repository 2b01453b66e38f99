/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

OPLIB_FAST(oplib_tile_products_s32)
OPLIB_MICRO_KERNEL
void oplib_tile_products_s32(const void *tile, const int8_t *weights, int32_t quads,
                             int32_t pair_bytes, int32_t pairs, void *products)
{
    oplib_memory_s32 *out = products;
    for (; pairs > 0; pairs--, weights += pair_bytes, out += 2 * OPLIB_TILE_TOKENS) {
        const oplib_block_4x2 sum = oplib_product_4x2(tile, weights, quads, 0, 0);
        out[0] = sum.t0c0;
        out[1] = sum.t1c0;
        out[2] = sum.t2c0;
        out[3] = sum.t3c0;
        out[4] = sum.t0c1;
        out[5] = sum.t1c1;
        out[6] = sum.t2c1;
        out[7] = sum.t3c1;
    }
}
