/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file port.h
 * @brief Support for a Cortex-M program: a clock, a stack gauge, a serial line and an exit.
 */
#ifndef PORT_H
#define PORT_H

#include <stdint.h>

#define PORT_EXIT_NOT_INITIALISED 97
#define PORT_EXIT_FAULT 98
#define PORT_EXIT_UNEXPECTED_INTERRUPT 99

#ifdef __cplusplus
extern "C" {
#else
/** @brief The application. It returns only where it cannot go on, or to end an emulated run. */
int main(void);
#endif

/** @brief Start the clock, which counts processor ticks by SysTick. */
void port_clock_start(void);

/** @brief Processor ticks since port_clock_start(). */
uint64_t port_clock_ticks(void);

/** @brief Ticks per second, or 0 where they are counts of instructions and tell no time. */
uint32_t port_clock_hz(void);

/** @brief Largest stack depth so far in bytes, from the pattern that start-up paints. */
uint32_t port_stack_high_water(void);

/** @brief Send bytes over the board's serial line; return when the last one is under way. */
void port_serial_write(const void *bytes, uint32_t count);

/** @brief The next byte from the serial line, or -1 if none has come. */
int32_t port_serial_read(void);

/**
 * @brief Called when the program cannot go on: on a fault, and when main returns.
 * @param code  PORT_EXIT_..., or what main returned
 */
void port_end(int code);

#ifdef __cplusplus
}
#endif

#endif
