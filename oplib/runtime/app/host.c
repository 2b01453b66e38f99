/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file host.c
 * @brief An image in strips on the host: host_set_image() names the image that model_run() fetches.
 */
#include "model.h"

#ifdef MODEL_FETCHES_ROWS
#include <string.h>

void host_set_image(const uint8_t *image);

static const uint8_t *source;

void host_set_image(const uint8_t *image)
{
    source = image;
}

void model_fetch_rows(uint8_t *rows, int32_t first, int32_t count)
{
    memcpy(rows, source + first * MODEL_ROW_BYTES, (size_t)count * MODEL_ROW_BYTES);
}
#endif
