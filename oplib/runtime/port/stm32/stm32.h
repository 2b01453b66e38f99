/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file stm32.h
 * @brief What all STM32 boards share, on ST's HAL, and what a board gives to it.
 *
 * board_hal.h of a board's folder includes the HAL and defines
 *   BOARD_LED_PORT, BOARD_LED_PIN, BOARD_LED_CLOCK_ENABLE()      lit when the pin is high
 *   BOARD_UART, BOARD_UART_IRQ, BOARD_UART_IRQ_HANDLER, BOARD_UART_CLOCK_ENABLE()
 *   BOARD_UART_ALTERNATE                                         alternate function of both pins
 *   BOARD_TX_PORT, BOARD_TX_PIN, BOARD_RX_PORT, BOARD_RX_PIN, BOARD_PINS_CLOCK_ENABLE()
 * The build defines BOARD_WEIGHTS_ADDRESS where the weights are outside the chip.
 */
#ifndef STM32_H
#define STM32_H

#include "board_hal.h"
#include "port.h"

/* Values of port_end() of a board; the LED blinks as often, pauses, and begins again. For every
 * other value it flickers without a pause. */
#define STM32_END_CLOCK 2    /* no clock at the rated speed */
#define STM32_END_FLASH 3    /* the external flash does not answer */
#define STM32_END_UART 4     /* the serial line cannot be set up */
#define STM32_END_REVISION 5 /* the chip's revision does not reach the rated speed */

/** @brief Set the clocks to the rated speed; return 0, or the code for port_end(). */
int32_t board_clock_init(void);

/** @brief Make all memory readable that the script uses; return 0, or the code for port_end(). */
int32_t board_memory_init(void);

/** @brief Set an MPU region of normal memory, read-only and never executed, that is cached. */
void stm32_map_read_only(uint8_t number, uint32_t base, uint8_t size);

/** @brief Forbid the external memories, 0x60000000 to 0x9FFFFFFF, as a first MPU region. */
void stm32_forbid_external(void);

#endif
