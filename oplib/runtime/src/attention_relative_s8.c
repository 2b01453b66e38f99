/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "dot_s8.h"
#include "oplib.h"
#include "requant.h"

/* Row of a table for a distance between two coordinates; row 0 is for the class token's pairs. */
static int32_t table_row(int32_t query, int32_t key, int32_t max_distance)
{
    const int32_t distance = key - query;
    const int32_t clipped = distance > max_distance  ? max_distance
                          : distance < -max_distance ? -max_distance
                                                     : distance;
    return clipped + max_distance + 1;
}

/* Products of one query slice with the keys' vectors, by row and by column of the grid, and with
 * those of the class token. */
static int32_t relative_scores(const int8_t *q, int32_t patch, oplib_memory_s32 *by_row,
                               oplib_memory_s32 *by_column,
                               const oplib_attention_relative_s8_params *params)
{
    const int32_t dim = params->attention.head_dim, grid = params->grid_size;
    for (int32_t i = 0; i < grid; i++) {
        const int32_t row = table_row(patch / grid, i, params->max_distance);
        const int32_t column = table_row(patch % grid, i, params->max_distance);
        by_row[i] = oplib_dot_s8(q, params->key_rows + row * dim, dim);
        by_column[i] = oplib_dot_s8(q, params->key_columns + column * dim, dim);
    }
    return oplib_dot_s8(q, params->key_rows, dim) + oplib_dot_s8(q, params->key_columns, dim);
}

/* Sums of the weights of each row and of each column of the grid. */
static void sum_weights(const oplib_memory_u16 *weights, int32_t grid, oplib_memory_s32 *by_row,
                        oplib_memory_s32 *by_column)
{
    for (int32_t i = 0; i < grid; i++)
        by_row[i] = by_column[i] = 0;
    for (int32_t row = 0; row < grid; row++) {
        for (int32_t column = 0; column < grid; column++) {
            by_row[row] += *weights;
            by_column[column] += *weights++;
        }
    }
}

static int64_t relative_value(int32_t patch, int32_t c, const oplib_memory_s32 *by_row,
                              const oplib_memory_s32 *by_column,
                              const oplib_attention_relative_s8_params *params)
{
    const int32_t dim = params->attention.head_dim, grid = params->grid_size;
    int64_t sum = 0;
    for (int32_t i = 0; i < grid; i++) {
        const int32_t row = table_row(patch / grid, i, params->max_distance);
        const int32_t column = table_row(patch % grid, i, params->max_distance);
        sum += (int64_t)by_row[i] * params->value_rows[row * dim + c];
        sum += (int64_t)by_column[i] * params->value_columns[column * dim + c];
    }
    return sum;
}

static int8_t requantize_wide(int64_t acc, int32_t multiplier, int32_t zero_point)
{
    const int64_t rounded = (acc * multiplier + ((int64_t)1 << 31)) >> 32;
    return oplib_saturate_s8((int32_t)rounded + zero_point);
}

void oplib_attention_relative_s8(const int8_t *q, const int8_t *k, const int8_t *v, int8_t *y,
                                 void *scratch, int32_t tokens,
                                 const oplib_attention_relative_s8_params *params)
{
    const oplib_attention_s8_params *attention = &params->attention;
    const int32_t dim = attention->head_dim, stride = attention->num_heads * dim,
                  grid = params->grid_size;
    const int32_t first = tokens - grid * grid; /* 1 with a class token */
    oplib_memory_s32 *by_row = scratch, *by_column = by_row + grid;
    oplib_memory_u16 *weights = (oplib_memory_u16 *)(by_column + grid);
    int8_t *scores = (int8_t *)(weights + tokens);
    for (int32_t h = 0; h < attention->num_heads; h++) {
        for (int32_t t = 0; t < tokens; t++) {
            const int32_t at = t * stride + h * dim, patch = t - first;
            const int8_t *key = k + h * dim, *value = v + h * dim;
            const int32_t with_class =
                relative_scores(q + at, patch < 0 ? 0 : patch, by_row, by_column, params);
            for (int32_t j = 0; j < tokens; j++) {
                const int32_t other = j - first;
                int32_t dot = oplib_dot_s8(q + at, key + j * stride, dim);
                if (patch < 0 || other < 0)
                    dot += with_class;
                else
                    dot += by_row[other / grid] + by_column[other % grid];
                scores[j] = oplib_requantize(dot, attention->score_multiplier, 0);
            }
            const uint32_t sum = oplib_softmax_s8(scores, weights, tokens, &attention->softmax);
            const int32_t multiplier = (int32_t)((attention->value_numerator + sum / 2u) / sum);
            int32_t class_weight = 0; /* weight of all pairs with the class token */
            for (int32_t j = 0; j < (patch < 0 ? tokens : first); j++)
                class_weight += weights[j];
            sum_weights(weights + first, grid, by_row, by_column);
            for (int32_t c = 0; c < dim; c++) {
                int64_t acc =
                    (int64_t)class_weight * (params->value_rows[c] + params->value_columns[c]);
                if (patch >= 0)
                    acc += relative_value(patch, c, by_row, by_column, params);
                for (int32_t j = 0; j < tokens; j++)
                    acc += (int32_t)weights[j] * value[j * stride + c];
                y[at + c] = requantize_wide(acc, multiplier, attention->zero_point);
            }
        }
    }
}
