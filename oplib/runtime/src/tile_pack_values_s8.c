/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

/* One channel of a row, or two if `channels` is 2. */
OPLIB_INLINE uint32_t load_channels(const int8_t *x, int32_t channels)
{
    return channels == 2 ? oplib_load_u16(x) : (uint8_t)*x;
}

/* One quad of rows from the channels of each. */
OPLIB_INLINE void store_quad(int8_t *out, uint32_t r0, uint32_t r1, uint32_t r2, uint32_t r3)
{
    oplib_store_u32(out, r0 | r2 << 16);
    oplib_store_u32(out + OPLIB_WEIGHT_QUAD_BYTES / 2, r1 | r3 << 16);
}

/* Pack one or two channels of `count` rows. */
OPLIB_INLINE void pack_channels(const int8_t *x, int32_t stride, int32_t count, int32_t channels,
                                int8_t *out)
{
    for (; count >= OPLIB_QUAD; count -= OPLIB_QUAD, out += OPLIB_WEIGHT_QUAD_BYTES) {
        const int8_t *const x1 = x + stride, *const x2 = x1 + stride, *const x3 = x2 + stride;
        store_quad(out, load_channels(x, channels), load_channels(x1, channels),
                   load_channels(x2, channels), load_channels(x3, channels));
        x = x3 + stride;
    }
    if (count > 0)
        store_quad(out, load_channels(x, channels),
                   count > 1 ? load_channels(x + stride, channels) : 0u,
                   count > 2 ? load_channels(x + 2 * stride, channels) : 0u, 0u);
}

OPLIB_FAST(oplib_tile_pack_values_s8)
void oplib_tile_pack_values_s8(const int8_t *rows, int32_t stride, int32_t count, int32_t dim,
                               int32_t pair_bytes, int8_t *values)
{
    int32_t c = 0;
    for (; c + 1 < dim; c += 2, values += pair_bytes)
        pack_channels(rows + c, stride, count, 2, values);
    if (c < dim)
        pack_channels(rows + c, stride, count, 1, values);
}
