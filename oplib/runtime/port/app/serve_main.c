/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file serve_main.c
 * @brief A program that does nothing but serve `python -m oplib.serve`.
 *
 * Define the port_serial_... functions of port.h in a file of your own, and board_init if clocks,
 * caches, external memory or the serial line need a set-up.
 */
#include "memory.h"
#include "port.h"
#include "serve.h"

/* Called once, before a weight is read. */
void board_init(void);

__attribute__((weak)) void board_init(void)
{
}

__attribute__((weak)) void port_end(int code)
{
    (void)code;
    for (;;) {
    }
}

int main(void)
{
    board_init();
    serve(&network, memory_init());
    return 0;
}
