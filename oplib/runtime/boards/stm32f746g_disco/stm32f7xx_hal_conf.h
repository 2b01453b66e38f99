/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file stm32f7xx_hal_conf.h
 * @brief Settings of ST's HAL, which includes this file: only the drivers that the board uses.
 */
#ifndef STM32F7XX_HAL_CONF_H
#define STM32F7XX_HAL_CONF_H

#define HAL_MODULE_ENABLED
#define HAL_CORTEX_MODULE_ENABLED
#define HAL_DMA_MODULE_ENABLED /* types that the drivers of UART and QSPI name */
#define HAL_FLASH_MODULE_ENABLED
#define HAL_GPIO_MODULE_ENABLED
#define HAL_PWR_MODULE_ENABLED
#define HAL_QSPI_MODULE_ENABLED
#define HAL_RCC_MODULE_ENABLED
#define HAL_UART_MODULE_ENABLED

#define HSE_VALUE 25000000u      /* the board's crystal */
#define HSE_STARTUP_TIMEOUT 100u /* ms */
#define HSI_VALUE 16000000u
#define LSI_VALUE 32000u
#define LSE_VALUE 32768u
#define LSE_STARTUP_TIMEOUT 5000u /* ms */
#define EXTERNAL_CLOCK_VALUE 12288000u

#define VDD_VALUE 3300u       /* mV */
#define TICK_INT_PRIORITY 15u /* of 0 to 15: every other interrupt goes before the tick */
#define USE_RTOS 0u
#define PREFETCH_ENABLE 1u
#define ART_ACCELERATOR_ENABLE 1u /* for code at the ITCM's address; ours has the cache */

#include "stm32f7xx_hal_cortex.h"
#include "stm32f7xx_hal_dma.h"
#include "stm32f7xx_hal_flash.h"
#include "stm32f7xx_hal_gpio.h"
#include "stm32f7xx_hal_pwr.h"
#include "stm32f7xx_hal_qspi.h"
#include "stm32f7xx_hal_rcc.h"
#include "stm32f7xx_hal_uart.h"

#define assert_param(expression) ((void)0)

#endif
