/* SPDX-License-Identifier: Apache-2.0 */
#include "oplib_support.h"

int32_t oplib_largest(const int32_t *logits, int32_t count)
{
    int32_t best = 0;
    for (int32_t i = 1; i < count; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}
