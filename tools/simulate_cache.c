/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file simulate_cache.c
 * @brief image.bin through a network, whose memory accesses go through simulated data caches.
 *
 * The network's sources are compiled with -fsanitize=thread, which calls a function before every
 * access; these functions are here instead of the sanitizer's. Accesses to the weights and to the
 * arena reach the caches, except those to the bytes that simulate_call() names; accesses to the
 * fast arena do only with -DFAST_ARENA_IS_CACHED. Caches write back and allocate on writes. Prints,
 * after every call, the lines of weights that each cache loaded.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "memory.h"
#include "model_weights.h"

enum { LINE = 32, WAYS = 4, SETS = CACHE_BYTES / (LINE * WAYS), POLICIES = 2 };

typedef struct {
    uintptr_t lines[SETS][WAYS]; /* with the least recently used way last */
    uint64_t weights_loaded;
} cache;

static cache caches[POLICIES]; /* least recently used, random */
static uintptr_t bypass_start, bypass_end;
static uint32_t state = 1;
static int called, watching;

static FILE *image;

static void read_image(uint8_t *to, size_t bytes)
{
    if (image == NULL || fread(to, bytes, 1, image) != 1)
        exit(1);
}

static void print_loaded(void)
{
    for (int32_t policy = 0; policy < POLICIES; policy++) {
        printf("%llu ", (unsigned long long)caches[policy].weights_loaded);
        caches[policy].weights_loaded = 0;
    }
    printf("\n");
}

void simulate_call(const uint8_t *start, const uint8_t *end);

/* A call begins; the bytes [start, end) bypass the caches during it. */
void simulate_call(const uint8_t *start, const uint8_t *end)
{
    if (called)
        print_loaded();
    called = 1;
    bypass_start = (uintptr_t)start;
    bypass_end = (uintptr_t)end;
}

static int is_inside(uintptr_t at, const void *start, uintptr_t bytes)
{
    return at - (uintptr_t)start < bytes;
}

static int32_t place_of(uintptr_t line, const uintptr_t *ways)
{
    int32_t way = 0;
    while (way < WAYS && ways[way] != line)
        way++;
    return way;
}

static int32_t random_way(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return (int32_t)(state % WAYS);
}

static void load(uintptr_t line, int is_weight)
{
    for (int32_t policy = 0; policy < POLICIES; policy++) {
        uintptr_t *const ways = caches[policy].lines[line % SETS];
        int32_t way = place_of(line, ways);
        if (way == WAYS) {
            caches[policy].weights_loaded += (uint64_t)is_weight;
            way = policy == 0 ? WAYS - 1 : random_way();
        } else if (policy == 1) {
            continue;
        }
        for (; policy == 0 && way > 0; way--)
            ways[way] = ways[way - 1];
        ways[way] = line;
    }
}

static int is_cached(uintptr_t at)
{
#if defined(FAST_ARENA_IS_CACHED) && NETWORK_FAST_ARENA_BYTES > 0
    if (is_inside(at, network_fast, sizeof network_fast))
        return 1;
#endif
    return is_inside(at, network_arena, sizeof network_arena) &&
           (at < bypass_start || at >= bypass_end);
}

static void reach(const void *address, uintptr_t bytes)
{
    const uintptr_t at = (uintptr_t)address;
    const int is_weight = is_inside(at, &model_weights, sizeof model_weights);
    if (!watching || (!is_weight && !is_cached(at)))
        return;
    for (uintptr_t line = at / LINE; line <= (at + bytes - 1) / LINE; line++)
        load(line, is_weight);
}

#define ACCESS(name, bytes)                                                                        \
    void __tsan_##name##bytes(void *address);                                                      \
    void __tsan_##name##bytes(void *address)                                                       \
    {                                                                                              \
        reach(address, bytes);                                                                     \
    }
#define ACCESSES(name) ACCESS(name, 1) ACCESS(name, 2) ACCESS(name, 4) ACCESS(name, 8)
ACCESSES(read)
ACCESSES(write)
ACCESSES(unaligned_read)
ACCESSES(unaligned_write)

void __tsan_init(void);
void __tsan_read_range(void *address, uintptr_t bytes);
void __tsan_write_range(void *address, uintptr_t bytes);
void __tsan_func_entry(void *from);
void __tsan_func_exit(void);

void __tsan_init(void)
{
}

void __tsan_read_range(void *address, uintptr_t bytes)
{
    reach(address, bytes);
}

void __tsan_write_range(void *address, uintptr_t bytes)
{
    reach(address, bytes);
}

void __tsan_func_entry(void *from)
{
    (void)from;
}

void __tsan_func_exit(void)
{
}

#if NETWORK_FETCHES_ROWS
static int32_t read_rows(void *user, uint8_t *rows, int32_t first, int32_t count)
{
    (void)user;
    (void)first; /* rows are requested in order */
    read_image(rows, (size_t)count * NETWORK_ROW_BYTES);
    return NETWORK_OK;
}
#endif

int main(void)
{
    image = fopen("image.bin", "rb");
    if (memory_init() != NETWORK_OK)
        return 1;
    watching = 1;
#if NETWORK_FETCHES_ROWS
    network.fetch_rows = read_rows;
#else
    read_image(network_input(&network), NETWORK_INPUT_BYTES);
#endif
    const int32_t status = network_run(&network);
    print_loaded();
    return status == NETWORK_OK ? 0 : 1;
}
