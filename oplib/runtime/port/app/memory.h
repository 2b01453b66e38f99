/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file memory.h
 * @brief The network of a program with its memory, which the linker script places.
 */
#ifndef MEMORY_H
#define MEMORY_H

#include "network.h"

#define MEMORY_IN(name) __attribute__((section(name)))

static NETWORK_ALIGNED MEMORY_IN(".arena") uint8_t network_arena[NETWORK_ARENA_BYTES];
#if NETWORK_FAST_ARENA_BYTES > 0
static NETWORK_ALIGNED MEMORY_IN(".fast_arena") uint8_t network_fast[NETWORK_FAST_ARENA_BYTES];
#endif
static struct network_context network;

/* Give the network its memory; return a status of the network. */
static inline int32_t memory_init(void)
{
#if NETWORK_FAST_ARENA_BYTES > 0
    return network_init(&network, network_arena, sizeof network_arena, network_fast,
                        sizeof network_fast);
#else
    return network_init(&network, network_arena, sizeof network_arena);
#endif
}

#endif
