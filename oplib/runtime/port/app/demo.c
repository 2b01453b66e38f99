/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file demo.c
 * @brief Run the built-in pictures, print what came out on the serial line, then serve.
 *
 * Each picture's class and time, whether its logits are the reference's, the time of each operator
 * and the stack. No camera is needed.
 */
#include <string.h>

#include "memory.h"
#include "port.h"
#include "serve.h"

#define DIGITS_OF_64_BITS 20

static void print(const char *text)
{
    port_serial_write(text, (uint32_t)strlen(text));
}

/* Print the decimal digits of a number, at least so many. Not inlined, so that they take no stack
 * while the network runs. */
static __attribute__((noinline)) void print_digits(uint64_t value, int32_t least)
{
    char digits[DIGITS_OF_64_BITS];
    int32_t first = DIGITS_OF_64_BITS;
    while (value != 0u || DIGITS_OF_64_BITS - first < least) {
        digits[--first] = (char)('0' + (int32_t)(value % 10u));
        value /= 10u;
    }
    port_serial_write(digits + first, (uint32_t)(DIGITS_OF_64_BITS - first));
}

static void print_number(int32_t value)
{
    if (value < 0)
        print("-");
    print_digits(value < 0 ? 0u - (uint32_t)value : (uint32_t)value, 1);
}

#if NETWORK_TEST_IMAGES > 0
/* Ticks are counted where the port's clock tells no time, as in an emulator. */
static void print_ticks(uint64_t ticks)
{
    const uint32_t hz = port_clock_hz();
    print_digits(ticks, 1);
    print(hz == 0u ? " ticks" : " cycles, ");
    if (hz == 0u)
        return;
    const uint64_t microseconds = ticks * 1000000u / hz;
    print_digits(microseconds / 1000u, 1);
    print(".");
    print_digits(microseconds % 1000u, 3);
    print(" ms");
}

#if NETWORK_FETCHES_ROWS
static int32_t source; /* picture that the rows are of */

static int32_t fetch_rows(void *user, uint8_t *rows, int32_t first, int32_t count)
{
    (void)user;
    memcpy(rows, network_test_image(source) + first * NETWORK_ROW_BYTES,
           (size_t)count * NETWORK_ROW_BYTES);
    return NETWORK_OK;
}
#endif

/* Run a picture; the time includes copying it, row by row, where it is fetched in strips. */
static int32_t run(int32_t picture)
{
#if NETWORK_FETCHES_ROWS
    source = picture;
    network.fetch_rows = fetch_rows;
#else
    const int32_t status =
        network_set_image(&network, network_test_image(picture), NETWORK_INPUT_BYTES);
    if (status != NETWORK_OK)
        return status;
#endif
    port_clock_start();
    return network_run(&network);
}

static void print_class(int32_t class_index)
{
    static const char *const names[NETWORK_NUM_CLASSES] = NETWORK_CLASS_NAMES;
    print_number(class_index);
    print(" (");
    print(names[class_index]);
    print(")");
}

static void show_picture(int32_t picture)
{
    const int32_t status = run(picture);
    const uint64_t ticks = port_clock_ticks();
    print("picture ");
    print_number(picture);
    if (status != NETWORK_OK) {
        print(": status ");
        print_number(status);
        print("\r\n");
        return;
    }
    const int equal = memcmp(network_logits(&network), network_test_logits(picture),
                             NETWORK_NUM_CLASSES * sizeof(int32_t)) == 0;
    print(": class ");
    print_class(network_class(&network));
    print(", label ");
    print_class(network_test_label(picture));
    print(equal ? ", logits equal to the reference's, " : ", LOGITS DIFFER FROM THE REFERENCE'S, ");
    print_ticks(ticks);
    print("\r\n");
}

/* The clock begins anew after the line is printed, so that printing does not count. */
static void show_operator(void *user, int32_t call)
{
    static const char *const names[NETWORK_NUM_CALLS] = NETWORK_CALL_NAMES;
    (void)user;
    const uint64_t ticks = port_clock_ticks();
    print("  ");
    print(names[call]);
    print(": ");
    print_ticks(ticks);
    print("\r\n");
    port_clock_start();
}

static void show_network(void)
{
    for (int32_t picture = 0; picture < NETWORK_TEST_IMAGES; picture++)
        show_picture(picture);
    print("operators of picture 0\r\n");
    network.hook = show_operator;
    (void)run(0);
    network.hook = NULL;
    print("stack ");
    print_digits(port_stack_high_water(), 1);
    print(" bytes\r\n");
}
#else
static void show_network(void)
{
    print("no built-in pictures: export with export.test_images above 0\r\n");
}
#endif

int main(void)
{
    const int32_t status = memory_init();
    print("network " NETWORK_DIGEST " for " NETWORK_DEVICE "\r\n");
    if (status == NETWORK_OK) {
        show_network();
    } else {
        print("the network does not start: status ");
        print_number(status);
        print(status == NETWORK_OTHER_WEIGHTS ? ", other weights are in flash\r\n" : "\r\n");
    }
    print("serving\r\n");
    serve(&network, status);
    return status;
}
