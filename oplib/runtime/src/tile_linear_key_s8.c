/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

typedef struct {
    int8_t *keys;
    int32_t pair; /* bytes of two tokens */
    int32_t zero_point;
} keys_s8;

OPLIB_INLINE void write_keys(oplib_block_4x2 sum, const int32_t *m, int32_t channel, int32_t second,
                             int32_t place, const oplib_tile_rows *at, const void *target)
{
    const keys_s8 *to = target;
    const int32_t m0 = m[0], m1 = m[1], z = to->zero_point;
    int8_t *k = to->keys + place + (channel & ~3) * 2 + (channel & 2);
    (void)at;
    (void)second; /* head_dim is a multiple of four */
    k[0] = oplib_requantize(sum.t0c0, m0, z);
    k[1] = oplib_requantize(sum.t1c0, m0, z);
    k[4] = oplib_requantize(sum.t0c1, m1, z);
    k[5] = oplib_requantize(sum.t1c1, m1, z);
    k += to->pair;
    k[0] = oplib_requantize(sum.t2c0, m0, z);
    k[1] = oplib_requantize(sum.t3c0, m0, z);
    k[4] = oplib_requantize(sum.t2c1, m1, z);
    k[5] = oplib_requantize(sum.t3c1, m1, z);
}

OPLIB_FAST(oplib_tile_linear_key_s8)
OPLIB_MICRO_KERNEL
void oplib_tile_linear_key_s8(const void *panel, int8_t *keys, int32_t tokens, int32_t first,
                              int32_t count, const oplib_linear_s8_params *params)
{
    const keys_s8 target = {keys, 2 * count, params->zero_point};
    oplib_each_block(panel, tokens, OPLIB_TILE_TOKENS * count, first, count, params, write_keys,
                     NULL, &target);
}
