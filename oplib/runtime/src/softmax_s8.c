/* SPDX-License-Identifier: Apache-2.0 */
#include "exp2.h"
#include "isa.h"
#include "oplib.h"

static uint32_t exponential(uint32_t distance, const oplib_softmax_s8_params *params)
{
    if (params->form == OPLIB_SOFTMAX_TABLE)
        return params->exp_table[distance];
    const uint32_t w = distance * params->exponent;
    const uint32_t weight =
        params->form == OPLIB_SOFTMAX_POLYNOMIAL ? oplib_exp2_polynomial(w) : oplib_exp_shift(w);
    return weight >> params->dropped_bits;
}

uint32_t oplib_softmax_s8(const int8_t *scores, uint16_t *weights, int32_t n,
                          const oplib_softmax_s8_params *params)
{
    int32_t max = -128;
    for (int32_t j = 0; j < n; j++)
        if (scores[j] > max)
            max = scores[j];
    oplib_memory_u16 *row = weights;
    uint32_t sum = 0u;
    for (int32_t j = 0; j < n; j++) {
        row[j] = (uint16_t)exponential((uint32_t)(max - scores[j]), params);
        sum += row[j];
    }
    if (params->normalized == 0)
        return sum;
    for (int32_t j = 0; j < n; j++)
        row[j] = (uint16_t)((row[j] * 127u + sum / 2u) / sum);
    return 127u;
}
