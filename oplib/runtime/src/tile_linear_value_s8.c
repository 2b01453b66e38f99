/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

typedef struct {
    int8_t *values;
    int32_t pair; /* half the bytes of two channels */
    int32_t zero_point;
} values_s8;

OPLIB_INLINE void write_values(oplib_block_4x2 sum, const int32_t *m, int32_t channel,
                               int32_t second, int32_t place, const oplib_tile_rows *at,
                               const void *target)
{
    const values_s8 *to = target;
    const int32_t m0 = m[0], m1 = m[1], z = to->zero_point;
    int8_t *v = to->values + channel * to->pair + place;
    (void)at;
    (void)second;
    v[0] = oplib_requantize(sum.t0c0, m0, z);
    v[1] = oplib_requantize(sum.t0c1, m1, z);
    v[2] = oplib_requantize(sum.t2c0, m0, z);
    v[3] = oplib_requantize(sum.t2c1, m1, z);
    v[4] = oplib_requantize(sum.t1c0, m0, z);
    v[5] = oplib_requantize(sum.t1c1, m1, z);
    v[6] = oplib_requantize(sum.t3c0, m0, z);
    v[7] = oplib_requantize(sum.t3c1, m1, z);
}

OPLIB_FAST(oplib_tile_linear_value_s8)
OPLIB_MICRO_KERNEL
void oplib_tile_linear_value_s8(const void *panel, int8_t *values, int32_t tokens, int32_t all,
                                int32_t first, int32_t count, const oplib_linear_s8_params *params)
{
    const values_s8 target = {values, oplib_padded(all), params->zero_point};
    oplib_each_block(panel, tokens, 2 * OPLIB_TILE_TOKENS, first, count, params, write_values, NULL,
                     &target);
}
