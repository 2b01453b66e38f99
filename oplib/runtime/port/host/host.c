/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file host.c
 * @brief The network as a function of this computer: an image in, logits out.
 */
#include "memory.h"

int32_t host_run(const uint8_t *image, int32_t *logits);
int32_t host_selftest(void);

#if NETWORK_FETCHES_ROWS
#include <string.h>

static int32_t copy_rows(void *user, uint8_t *rows, int32_t first, int32_t count)
{
    const uint8_t *const *const image = user;
    memcpy(rows, *image + first * NETWORK_ROW_BYTES, (size_t)count * NETWORK_ROW_BYTES);
    return NETWORK_OK;
}
#endif

/* Write NETWORK_NUM_CLASSES logits of NETWORK_INPUT_BYTES raw pixels; return a status. */
int32_t host_run(const uint8_t *image, int32_t *logits)
{
    int32_t status = memory_init();
#if NETWORK_FETCHES_ROWS
    network.fetch_rows = copy_rows;
    network.user = &image;
#else
    if (status == NETWORK_OK)
        status = network_set_image(&network, image, NETWORK_INPUT_BYTES);
#endif
    if (status == NETWORK_OK)
        status = network_run(&network);
    if (status == NETWORK_OK)
        for (int32_t i = 0; i < NETWORK_NUM_CLASSES; i++)
            logits[i] = network_logits(&network)[i];
    return status;
}

/* Run the network's own test; return a status. */
int32_t host_selftest(void)
{
    const int32_t status = memory_init();
    return status == NETWORK_OK ? network_selftest(&network) : status;
}
