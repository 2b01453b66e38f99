/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file selftest.c
 * @brief Run the self-test of the network `net`, then its first built-in image; print the figures.
 *
 * Prints one line: status of the test, ticks of one image, bytes of stack.
 */
#include "net.h"
#include "port.h"
#include "semihosting.h"

static NET_ALIGNED __attribute__((section(".arena"))) uint8_t arena[NET_ARENA_BYTES];
#if NET_FAST_ARENA_BYTES > 0
static NET_ALIGNED __attribute__((section(".fast_arena"))) uint8_t fast[NET_FAST_ARENA_BYTES];
#endif
static struct net_context context;

#if NET_FETCHES_ROWS
static int32_t rows_of_image(void *user, uint8_t *rows, int32_t first, int32_t count)
{
    const uint8_t *from = net_test_image(0) + first * NET_ROW_BYTES;
    (void)user;
    for (int32_t i = 0; i < count * NET_ROW_BYTES; i++)
        rows[i] = from[i];
    return NET_OK;
}
#endif

static void print_number(int64_t value)
{
    char text[24];
    char *at = text + sizeof text - 1;
    uint64_t rest = value < 0 ? (uint64_t)-value : (uint64_t)value;
    *at = '\0';
    do
        *--at = (char)('0' + rest % 10u);
    while ((rest /= 10u) != 0u);
    if (value < 0)
        *--at = '-';
    semihosting_print(at);
    semihosting_print(" ");
}

int main(void)
{
#if NET_FAST_ARENA_BYTES > 0
    int32_t status = net_init(&context, arena, sizeof arena, fast, sizeof fast);
#else
    int32_t status = net_init(&context, arena, sizeof arena);
#endif
    if (status == NET_OK)
        status = net_selftest(&context);
#if NET_FETCHES_ROWS
    context.fetch_rows = rows_of_image;
#else
    if (status == NET_OK)
        status = net_set_image(&context, net_test_image(0), NET_INPUT_BYTES);
#endif
    port_clock_start();
    if (status == NET_OK)
        status = net_run(&context);
    const uint64_t ticks = port_clock_ticks();
    print_number(status);
    print_number((int64_t)ticks);
    print_number(port_stack_high_water());
    semihosting_print("\n");
    return status == NET_OK ? 0 : 1;
}
