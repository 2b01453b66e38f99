/* SPDX-License-Identifier: Apache-2.0
 *
 * What a Cortex-M program needs besides the network: a clock, its stack's high-water mark, an end.
 */
#ifndef PORT_H
#define PORT_H

#include <stdint.h>

/* Processor clock ticks since port_clock_start(), from SysTick. */
void port_clock_start(void);
uint64_t port_clock_ticks(void);

/* Bytes of the stack that were ever used, from the pattern that start-up paints. */
uint32_t port_stack_high_water(void);

/* The application. Its return value ends an emulated run; on a board it must not return. */
int main(void);

/* Called where the program cannot go on: on a fault, and when main returns. */
void port_end(int code);

#define PORT_EXIT_FAULT 98
#define PORT_EXIT_UNEXPECTED_INTERRUPT 99

#endif
