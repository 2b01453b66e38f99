/* SPDX-License-Identifier: Apache-2.0 */
#include "isa.h"
#include "oplib_support.h"

void oplib_copy(void *to, const void *from, size_t count)
{
    uint8_t *const target = to;
    const uint8_t *const source = from;
    for (size_t i = 0; i < count; i++) {
        target[i] = source[i];
        OPLIB_BARRIER(); /* otherwise a compiler makes a call of memcpy() of it */
    }
}
