/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file serve.h
 * @brief The board's side of `python -m oplib.serve`: images in, logits, ticks and stack out.
 */
#ifndef SERVE_H
#define SERVE_H

#include <stdint.h>

#include "network.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @brief Answer the requests of protocol.h on the port's serial line, for ever.
 * @param context  the network; its callbacks are replaced
 * @param status   what network_init() returned: the computer is told what is wrong
 */
void serve(struct network_context *context, int32_t status);

#ifdef __cplusplus
}
#endif

#endif
