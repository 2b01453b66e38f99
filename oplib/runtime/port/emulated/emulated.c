/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file emulated.c
 * @brief What a program that serves needs of an emulated board: the serial line, byte by byte.
 *
 * The emulator needs neither pins nor the clock of the peripheral, so nothing here sets them up: on
 * a chip this does not work.
 */
#include "board.h"
#include "port.h"

#define REGISTER(offset) (*(volatile uint32_t *)(BOARD_SERIAL + (offset)))

#if defined(BOARD_SERIAL_CMSDK) /* Arm DDI 0479, APB UART */
#define DATA REGISTER(0x00u)
#define CAN_SEND ((REGISTER(0x04u) & 1u) == 0u)
#define HAS_BYTE ((REGISTER(0x04u) & 2u) != 0u)
#define CONTROL REGISTER(0x08u)
#define ENABLED 3u
#define DIVIDER REGISTER(0x10u)
#define DIVISOR 16u               /* the least */
#elif defined(BOARD_SERIAL_STM32) /* RM0041 and RM0090, USART */
#define DATA REGISTER(0x04u)
#define CAN_SEND ((REGISTER(0x00u) & (1u << 7)) != 0u)
#define HAS_BYTE ((REGISTER(0x00u) & (1u << 5)) != 0u)
#define CONTROL REGISTER(0x0Cu)
#define ENABLED ((1u << 13) | (1u << 3) | (1u << 2))
#define DIVIDER REGISTER(0x08u)
#define DIVISOR 16u
#else
#error "the emulated board has no serial line that is known here"
#endif

static void enable(void)
{
    if (CONTROL != ENABLED) {
        DIVIDER = DIVISOR;
        CONTROL = ENABLED;
    }
}

uint32_t port_clock_hz(void)
{
    return 0;
}

void port_serial_write(const void *bytes, uint32_t count)
{
    const uint8_t *from = bytes;
    enable();
    for (uint32_t i = 0; i < count; i++) {
        while (!CAN_SEND) {
        }
        DATA = from[i];
    }
}

int32_t port_serial_read(void)
{
    enable();
    return HAS_BYTE ? (int32_t)(DATA & 0xFFu) : -1;
}
