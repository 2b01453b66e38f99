/* SPDX-License-Identifier: Apache-2.0 */
#include "tile.h"

#define LOWEST 0x80808080u /* -128, four times */

static int32_t largest(const int8_t *scores, int32_t tokens)
{
    uint32_t max = LOWEST;
    int32_t j = 0;
    for (; j + 4 <= tokens; j += 4)
        max = oplib_max_bytes(max, oplib_load_aligned_u32(scores + j));
    for (; j < tokens; j++)
        max = oplib_max_bytes(max, (LOWEST ^ 0x80u) | (uint8_t)scores[j]);
    max = oplib_max_bytes(max, max >> 16);
    max = oplib_max_bytes(max, max >> 8);
    return (int8_t)max;
}

/* Store the unnormalised weights of a row into a tile, zeros after the last; return their sum. */
OPLIB_FAST(exponentiate)
OPLIB_MICRO_KERNEL
static uint32_t exponentiate(const int8_t *scores, int32_t tokens, char *tile,
                             const uint16_t *exp_table)
{
    const uint16_t *table = exp_table + largest(scores, tokens);
    uint32_t sum = 0u;
    for (int32_t quads = tokens / OPLIB_QUAD; quads > 0;
         quads--, scores += OPLIB_QUAD, tile += OPLIB_QUAD_BYTES) {
        const int32_t a = table[-scores[0]], b = table[-scores[1]];
        const int32_t c = table[-scores[2]], d = table[-scores[3]];
        sum += (uint32_t)(a + b) + (uint32_t)(c + d);
        oplib_store_u32(tile, oplib_halves(a, c));
        oplib_store_u32(tile + OPLIB_QUAD_ODD, oplib_halves(b, d));
    }
    const int32_t rest = tokens % OPLIB_QUAD;
    if (rest != 0) {
        const int32_t a = table[-scores[0]];
        const int32_t b = rest > 1 ? table[-scores[1]] : 0, c = rest > 2 ? table[-scores[2]] : 0;
        sum += (uint32_t)(a + b + c);
        oplib_store_u32(tile, oplib_halves(a, c));
        oplib_store_u32(tile + OPLIB_QUAD_ODD, oplib_halves(b, 0));
    }
    return sum;
}

/* As above, with any form of softmax; `row` holds its weights meanwhile. */
static uint32_t weigh_by_form(const int8_t *scores, int32_t tokens, char *tile, void *row,
                              const oplib_softmax_s8_params *params)
{
    const uint32_t sum = oplib_softmax_s8(scores, row, tokens, params);
    const oplib_memory_u16 *source = row;
    for (int32_t j = 0; j < oplib_padded(tokens); j++) {
        const uint16_t weight = j < tokens ? source[j] : 0;
        OPLIB_COPY(tile + (j & ~3) * 8 + (j & 1) * OPLIB_QUAD_ODD + (j & 2), &weight,
                   sizeof weight);
    }
    return sum;
}

void oplib_tile_softmax_s8(const int8_t *scores, int32_t tokens, void *weights, void *row,
                           int32_t sums[OPLIB_TILE_TOKENS], const oplib_softmax_s8_params *params)
{
    char *tile = weights;
    for (int32_t t = 0; t < OPLIB_TILE_TOKENS;
         t++, scores += oplib_padded(tokens), tile += OPLIB_TOKEN_BYTES) {
        const uint32_t sum = params->form == OPLIB_SOFTMAX_TABLE && params->normalized == 0
                               ? exponentiate(scores, tokens, tile, params->exp_table)
                               : weigh_by_form(scores, tokens, tile, row, params);
        sums[t] = (int32_t)sum;
    }
}
