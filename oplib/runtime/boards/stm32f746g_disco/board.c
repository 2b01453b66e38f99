/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file board.c
 * @brief STM32F746G-DISCO: 216 MHz from the crystal of 25 MHz, QSPI flash mapped at 0x90000000.
 */
#include "stm32.h"
#include "stm32746g_discovery_qspi.h"

/* 25 MHz / 25 * 432 / 2 = 216 MHz; / 9 = 48 MHz for USB, which nothing uses. */
static HAL_StatusTypeDef start_pll(void)
{
    RCC_OscInitTypeDef oscillator = {0};
    oscillator.OscillatorType = RCC_OSCILLATORTYPE_HSE;
    oscillator.HSEState = RCC_HSE_ON;
    oscillator.PLL.PLLState = RCC_PLL_ON;
    oscillator.PLL.PLLSource = RCC_PLLSOURCE_HSE;
    oscillator.PLL.PLLM = 25u;
    oscillator.PLL.PLLN = 432u;
    oscillator.PLL.PLLP = RCC_PLLP_DIV2;
    oscillator.PLL.PLLQ = 9u;
    return HAL_RCC_OscConfig(&oscillator);
}

static HAL_StatusTypeDef take_pll(void)
{
    RCC_ClkInitTypeDef clocks = {0};
    clocks.ClockType =
        RCC_CLOCKTYPE_SYSCLK | RCC_CLOCKTYPE_HCLK | RCC_CLOCKTYPE_PCLK1 | RCC_CLOCKTYPE_PCLK2;
    clocks.SYSCLKSource = RCC_SYSCLKSOURCE_PLLCLK;
    clocks.AHBCLKDivider = RCC_SYSCLK_DIV1;
    clocks.APB1CLKDivider = RCC_HCLK_DIV4;
    clocks.APB2CLKDivider = RCC_HCLK_DIV2;
    return HAL_RCC_ClockConfig(&clocks, FLASH_LATENCY_7);
}

/* Above 180 MHz the over-drive must be on before the PLL is taken (RM0385, power control). */
int32_t board_clock_init(void)
{
    __HAL_RCC_PWR_CLK_ENABLE();
    __HAL_PWR_VOLTAGESCALING_CONFIG(PWR_REGULATOR_VOLTAGE_SCALE1);
    if (start_pll() != HAL_OK || HAL_PWREx_EnableOverDrive() != HAL_OK || take_pll() != HAL_OK)
        return STM32_END_CLOCK;
    return SystemCoreClock == 216000000u ? 0 : STM32_END_CLOCK;
}

/* Nothing reads the flash before it is mapped: until then its addresses are forbidden. */
int32_t board_memory_init(void)
{
#ifdef BOARD_WEIGHTS_ADDRESS
    if (BSP_QSPI_Init() != QSPI_OK || BSP_QSPI_EnableMemoryMappedMode() != QSPI_OK)
        return STM32_END_FLASH;
    stm32_map_read_only(1u, BOARD_WEIGHTS_ADDRESS, MPU_REGION_SIZE_16MB);
#endif
    return 0;
}
