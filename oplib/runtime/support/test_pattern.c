/* SPDX-License-Identifier: Apache-2.0 */
#include "oplib_support.h"

void oplib_test_pattern(uint8_t *pixels, int32_t first, int32_t count, int32_t value_max)
{
    for (int32_t i = 0; i < count; i++) {
        const uint32_t x = ((uint32_t)(first + i) + 1u) * 2654435761u;
        pixels[i] = (uint8_t)((x ^ x >> 16) % ((uint32_t)value_max + 1u));
    }
}
