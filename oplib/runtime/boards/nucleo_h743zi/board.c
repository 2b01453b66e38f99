/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file board.c
 * @brief Nucleo-H743ZI: 480 MHz from the 8 MHz that the ST-Link supplies, on a chip of revision V.
 */
#include "stm32.h"

#define VOLTAGE_TIMEOUT 100u /* ms */

/* The highest voltage, which 480 MHz needs, is had through the next one (RM0433, power control). */
static int32_t raise_voltage(void)
{
    static const uint32_t scales[2] = {PWR_REGULATOR_VOLTAGE_SCALE1, PWR_REGULATOR_VOLTAGE_SCALE0};
    __HAL_RCC_SYSCFG_CLK_ENABLE();
    if (HAL_PWREx_ConfigSupply(PWR_LDO_SUPPLY) != HAL_OK)
        return STM32_END_CLOCK;
    for (uint32_t i = 0u; i < 2u; i++) {
        const uint32_t start = HAL_GetTick();
        __HAL_PWR_VOLTAGESCALING_CONFIG(scales[i]);
        while (!__HAL_PWR_GET_FLAG(PWR_FLAG_VOSRDY))
            if (HAL_GetTick() - start > VOLTAGE_TIMEOUT)
                return STM32_END_CLOCK;
    }
    return 0;
}

/* 8 MHz / 4 * 480 / 2 = 480 MHz; the oscillator of the PLL runs at 960 MHz. */
static HAL_StatusTypeDef start_pll(void)
{
    RCC_OscInitTypeDef oscillator = {0};
    oscillator.OscillatorType = RCC_OSCILLATORTYPE_HSE;
    oscillator.HSEState = RCC_HSE_BYPASS;
    oscillator.PLL.PLLState = RCC_PLL_ON;
    oscillator.PLL.PLLSource = RCC_PLLSOURCE_HSE;
    oscillator.PLL.PLLM = 4u;
    oscillator.PLL.PLLN = 480u;
    oscillator.PLL.PLLP = 2u;
    oscillator.PLL.PLLQ = 20u; /* 48 MHz */
    oscillator.PLL.PLLR = 2u;
    oscillator.PLL.PLLRGE = RCC_PLL1VCIRANGE_1; /* 2 to 4 MHz come in */
    oscillator.PLL.PLLVCOSEL = RCC_PLL1VCOWIDE;
    return HAL_RCC_OscConfig(&oscillator);
}

static HAL_StatusTypeDef take_pll(void)
{
    RCC_ClkInitTypeDef clocks = {0};
    clocks.ClockType = RCC_CLOCKTYPE_SYSCLK | RCC_CLOCKTYPE_HCLK | RCC_CLOCKTYPE_D1PCLK1 |
                       RCC_CLOCKTYPE_PCLK1 | RCC_CLOCKTYPE_PCLK2 | RCC_CLOCKTYPE_D3PCLK1;
    clocks.SYSCLKSource = RCC_SYSCLKSOURCE_PLLCLK;
    clocks.SYSCLKDivider = RCC_SYSCLK_DIV1;
    clocks.AHBCLKDivider = RCC_HCLK_DIV2;
    clocks.APB1CLKDivider = RCC_APB1_DIV2;
    clocks.APB2CLKDivider = RCC_APB2_DIV2;
    clocks.APB3CLKDivider = RCC_APB3_DIV2;
    clocks.APB4CLKDivider = RCC_APB4_DIV2;
    return HAL_RCC_ClockConfig(&clocks, FLASH_LATENCY_4);
}

int32_t board_clock_init(void)
{
    if (HAL_GetREVID() != REV_ID_V)
        return STM32_END_REVISION; /* older ones reach 400 MHz */
    if (raise_voltage() != 0 || start_pll() != HAL_OK || take_pll() != HAL_OK)
        return STM32_END_CLOCK;
    return SystemCoreClock == 480000000u ? 0 : STM32_END_CLOCK;
}

#ifdef BOARD_WEIGHTS_ADDRESS
#error "this board has no flash outside the chip: set weights_region of the device to null"
#endif

int32_t board_memory_init(void)
{
    return 0; /* the chip's own memories need nothing */
}
