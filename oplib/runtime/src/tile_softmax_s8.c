/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

static int32_t largest(const int8_t *scores, int32_t tokens)
{
    uint32_t max = 0x80808080u;
    int32_t j = 0;
    for (; j + 4 <= tokens; j += 4)
        max = oplib_max_bytes(max, oplib_load_u32(__builtin_assume_aligned(scores + j, 4)));
    for (; j < tokens; j++)
        max = oplib_max_bytes(max, 0x80808000u | (uint8_t)scores[j]);
    max = oplib_max_bytes(max, max >> 16);
    max = oplib_max_bytes(max, max >> 8);
    return (int8_t)max;
}

/* Put the unnormalised weights of a row into its place in a tile, zeros behind the last; return their sum. */
OPLIB_MICRO_KERNEL OPLIB_FAST(exponentiate)
static uint32_t exponentiate(const int8_t *scores, int32_t tokens, char *tile,
                             const uint16_t *exp_table)
{
    const uint16_t *table = exp_table + largest(scores, tokens);
    uint32_t sum = 0u;
    for (int32_t quads = tokens / 4; quads > 0; quads--, scores += 4, tile += 32) {
        const int32_t a = table[-scores[0]], b = table[-scores[1]];
        const int32_t c = table[-scores[2]], d = table[-scores[3]];
        sum += (uint32_t)(a + b) + (uint32_t)(c + d);
        oplib_store_u32(tile, oplib_halves(a, c));
        oplib_store_u32(tile + 16, oplib_halves(b, d));
    }
    const int32_t rest = tokens % 4;
    if (rest != 0) {
        const int32_t a = table[-scores[0]];
        const int32_t b = rest > 1 ? table[-scores[1]] : 0, c = rest > 2 ? table[-scores[2]] : 0;
        sum += (uint32_t)(a + b + c);
        oplib_store_u32(tile, oplib_halves(a, c));
        oplib_store_u32(tile + 16, oplib_halves(b, 0));
    }
    return sum;
}

/* The same with any form of softmax; `row` is room for its weights. */
static uint32_t other_weights(const int8_t *scores, int32_t tokens, char *tile, uint16_t *row,
                              const oplib_softmax_s8_params *p)
{
    const uint32_t sum = oplib_softmax_s8(scores, row, tokens, p);
    for (int32_t j = 0; j < 4 * oplib_quads(tokens); j++) {
        const uint16_t weight = j < tokens ? row[j] : 0;
        memcpy(tile + (j & ~3) * 8 + (j & 1) * 16 + (j & 2), &weight, sizeof weight);
    }
    return sum;
}

void oplib_tile_softmax_s8(const int8_t *scores, int32_t tokens, void *weights, uint16_t *row,
                           int32_t multipliers[4], const oplib_attention_s8_params *p)
{
    char *tile = weights;
    for (int32_t t = 0; t < 4; t++, scores += 4 * oplib_quads(tokens), tile += 4) {
        uint32_t sum;
        if (p->softmax.form == OPLIB_SOFTMAX_TABLE && p->softmax.normalized == 0)
            sum = exponentiate(scores, tokens, tile, p->softmax.exp_table);
        else
            sum = other_weights(scores, tokens, tile, row, &p->softmax);
        multipliers[t] = (int32_t)((p->value_numerator + sum / 2u) / sum);
    }
}
