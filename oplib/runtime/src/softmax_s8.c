/* SPDX-License-Identifier: Apache-2.0 */
#include "oplib.h"

uint32_t oplib_softmax_s8(const int8_t *scores, uint16_t *weights, int32_t n,
                          const uint16_t *exp_table)
{
    int32_t max = -128;
    for (int32_t j = 0; j < n; j++)
        if (scores[j] > max)
            max = scores[j];
    uint32_t sum = 0u;
    for (int32_t j = 0; j < n; j++) {
        weights[j] = exp_table[max - scores[j]];
        sum += weights[j];
    }
    return sum;
}
