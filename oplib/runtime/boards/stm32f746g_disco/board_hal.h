/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file board_hal.h
 * @brief STM32F746G-DISCO: LED LD1, and USART1, which the ST-Link shows as a virtual COM port.
 */
#ifndef BOARD_HAL_H
#define BOARD_HAL_H

#include "stm32f7xx_hal.h"

#define BOARD_LED_PORT GPIOI
#define BOARD_LED_PIN GPIO_PIN_1
#define BOARD_LED_CLOCK_ENABLE() __HAL_RCC_GPIOI_CLK_ENABLE()

#define BOARD_UART USART1
#define BOARD_UART_IRQ USART1_IRQn
#define BOARD_UART_IRQ_HANDLER USART1_IRQHandler
#define BOARD_UART_CLOCK_ENABLE() __HAL_RCC_USART1_CLK_ENABLE()
#define BOARD_UART_ALTERNATE GPIO_AF7_USART1
#define BOARD_TX_PORT GPIOA
#define BOARD_TX_PIN GPIO_PIN_9
#define BOARD_RX_PORT GPIOB
#define BOARD_RX_PIN GPIO_PIN_7
#define BOARD_PINS_CLOCK_ENABLE()                                                                  \
    do {                                                                                           \
        __HAL_RCC_GPIOA_CLK_ENABLE();                                                              \
        __HAL_RCC_GPIOB_CLK_ENABLE();                                                              \
    } while (0)

#endif
