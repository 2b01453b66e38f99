/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file bench_kernels.c
 * @brief Run the calls of cases.bin and write results.bin, for tools/bench_kernels.py.
 *
 * A case is a header and its data; offsets count from the start of the data, in bytes. The result
 * of a call is its clock ticks (uint64) and its output.
 */
#include <stddef.h>

#include "oplib.h"
#include "oplib_picture.h"
#include "port.h"
#include "semihosting.h"
#include "tile.h"

enum {
    LINEAR,
    PAIRS,
    ATTENTION,
    ATTENTION_RELATIVE,
    SOFTMAX,
    LAYER_NORM,
    PATCH_EMBED,
    ADD,
    RGB888,
    RGB565
};
enum { MAX_ARRAYS = 8 };
enum { OK, NO_CASES, NO_RESULTS, READ_FAILED, WRITE_FAILED, TOO_LARGE, UNKNOWN };
enum { DATA_BYTES = 1 << 20, OUTPUT_BYTES = 1 << 19, SCRATCH_BYTES = 1 << 16 };

typedef struct {
    int32_t kind, data_bytes, output_bytes;
    int32_t size[6];            /* counts, by kind */
    int32_t offset[MAX_ARRAYS]; /* of arrays, by kind; -1 for none */
    int32_t value[4];           /* scalars, by kind */
} header;

static uint8_t data[DATA_BYTES] __attribute__((aligned(8)));
static uint8_t output[OUTPUT_BYTES] __attribute__((aligned(8)));
static uint8_t scratch[SCRATCH_BYTES] __attribute__((aligned(8)));

static const void *array(const header *h, int32_t index)
{
    return h->offset[index] < 0 ? NULL : data + h->offset[index];
}

static int run(const header *h)
{
    const int32_t *n = h->size;
    const oplib_linear_s8_params linear = {n[1],        n[2],        h->value[0],
                                           array(h, 1), array(h, 2), array(h, 3)};
    const oplib_softmax_s8_params softmax = {OPLIB_SOFTMAX_TABLE, 0, 0, 0, array(h, 3)};
    const oplib_attention_s8_params attention = {n[1],
                                                 n[2],
                                                 h->value[1],
                                                 h->value[0],
                                                 (uint64_t)(uint32_t)h->value[2] |
                                                     (uint64_t)(uint32_t)h->value[3] << 32,
                                                 softmax};
    const oplib_attention_relative_s8_params relative = {
        n[3], n[4], array(h, 4), array(h, 5), array(h, 6), array(h, 7), attention};
    const oplib_layer_norm_s8_params norm = {n[1], 4, (uint64_t)h->value[0], array(h, 1)};
    const oplib_patch_embed_s8_params patches = {n[3], 3, n[4], n[5], 0, 0,
                                                 1,    0, 4,    {0},  0, linear};
    const oplib_add_s8_params add = {h->value[0], h->value[1], h->value[2], h->value[3], 1};
    const oplib_picture_params picture = {n[2], n[3], h->value[0], h->value[1], h->value[2]};
    port_clock_start();
    switch (h->kind) {
    case LINEAR:
        oplib_linear_s8(array(h, 0), (int8_t *)output, scratch, n[0], OPLIB_TILE_TOKENS, &linear);
        return OK;
    case PAIRS:
        oplib_linear_s8(array(h, 0), (int8_t *)output, NULL, n[0], OPLIB_TILE_TOKENS, &linear);
        return OK;
    case ATTENTION:
        oplib_attention_s8(array(h, 0), array(h, 1), array(h, 2), (int8_t *)output, scratch, n[0],
                           &attention);
        return OK;
    case ATTENTION_RELATIVE:
        oplib_attention_relative_s8(array(h, 0), array(h, 1), array(h, 2), (int8_t *)output,
                                    scratch, n[0], &relative);
        return OK;
    case SOFTMAX:
        oplib_tile_softmax_s8(array(h, 0), n[0], output + 16, NULL, (int32_t *)(void *)output,
                              &softmax);
        return OK;
    case LAYER_NORM:
        for (int32_t t = 0; t < n[0]; t += OPLIB_TILE_TOKENS)
            oplib_tile_layer_norm_s8(
                (const int8_t *)array(h, 0) + t * n[1], oplib_tile_tokens(t, n[0]),
                output + t / OPLIB_TILE_TOKENS * oplib_tile_bytes(n[1]), &norm);
        return OK;
    case PATCH_EMBED:
        oplib_patch_embed_s8(array(h, 0), 0, (int8_t *)output, scratch, 0, n[0], &patches);
        return OK;
    case ADD:
        oplib_add_s8(array(h, 0), array(h, 1), (int8_t *)output, n[0], &add);
        return OK;
    case RGB888:
        return oplib_rows_from_rgb888(output, 0, n[2], array(h, 0), n[0], n[1], &picture);
    case RGB565:
        return oplib_rows_from_rgb565(output, 0, n[2], array(h, 0), n[0], n[1], &picture);
    default:
        return UNKNOWN;
    }
}

int main(void)
{
    const int32_t cases = semihosting_open_read("cases.bin");
    const int32_t results = semihosting_open_write("results.bin");
    if (cases < 0)
        return NO_CASES;
    if (results < 0)
        return NO_RESULTS;
    header h;
    while (semihosting_read(cases, &h, sizeof h) == 0) {
        if (h.data_bytes > DATA_BYTES || h.output_bytes > OUTPUT_BYTES)
            return TOO_LARGE;
        if (semihosting_read(cases, data, (uint32_t)h.data_bytes) != 0)
            return READ_FAILED;
        const int status = run(&h);
        const uint64_t ticks = port_clock_ticks();
        if (status != OK)
            return status;
        if (semihosting_write(results, &ticks, sizeof ticks) != 0 ||
            semihosting_write(results, output, (uint32_t)h.output_bytes) != 0)
            return WRITE_FAILED;
    }
    return semihosting_close(results) == 0 ? OK : WRITE_FAILED;
}
