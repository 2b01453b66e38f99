/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file board_hal.h
 * @brief Nucleo-H743ZI and -H743ZI2: LED LD3, and USART3, which is the ST-Link's virtual COM port.
 */
#ifndef BOARD_HAL_H
#define BOARD_HAL_H

#include "stm32h7xx_hal.h"

#define BOARD_LED_PORT GPIOB
#define BOARD_LED_PIN GPIO_PIN_14
#define BOARD_LED_CLOCK_ENABLE() __HAL_RCC_GPIOB_CLK_ENABLE()

#define BOARD_UART USART3
#define BOARD_UART_IRQ USART3_IRQn
#define BOARD_UART_IRQ_HANDLER USART3_IRQHandler
#define BOARD_UART_CLOCK_ENABLE() __HAL_RCC_USART3_CLK_ENABLE()
#define BOARD_UART_ALTERNATE GPIO_AF7_USART3
#define BOARD_TX_PORT GPIOD
#define BOARD_TX_PIN GPIO_PIN_8
#define BOARD_RX_PORT GPIOD
#define BOARD_RX_PIN GPIO_PIN_9
#define BOARD_PINS_CLOCK_ENABLE() __HAL_RCC_GPIOD_CLK_ENABLE()

#endif
