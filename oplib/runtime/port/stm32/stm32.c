/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file stm32.c
 * @brief The port of an STM32 with a Cortex-M7: start, clock, stack gauge, serial line, end.
 *
 * The start-up code and the vectors are ST's. Its call of main() arrives here (the linker's option
 * --wrap=main), so that a program finds a board that runs.
 */
#include "stm32.h"

#define STACK_PAINT 0xC5C5C5C5u
#define BAUD 115200u
#define RING_BYTES 256u /* 22 ms at 115200 baud; a power of two */
#define BLINK_MILLISECONDS 250u
#define FLICKER_MILLISECONDS 50u
#define MAX_BLINKS 9

extern uint32_t port_stack_start[], port_stack_end[]; /* from the linker script */
#ifdef OPLIB_FAST_CODE_SECTION
extern uint32_t port_fast_code_start[], port_fast_code_end[], port_fast_code_load[];
#endif

int __real_main(void);
int __wrap_main(void);
void BOARD_UART_IRQ_HANDLER(void);

static UART_HandleTypeDef uart;
static volatile uint8_t ring[RING_BYTES];
static volatile uint32_t ring_written; /* by the interrupt only */
static volatile uint32_t ring_read;
static uint64_t ticks;
static uint32_t last_count;

static uint64_t count_ticks(void)
{
    const uint32_t masked = __get_PRIMASK();
    __disable_irq();
    const uint32_t now = DWT->CYCCNT;
    ticks += (uint32_t)(now - last_count);
    last_count = now;
    const uint64_t counted = ticks;
    __set_PRIMASK(masked);
    return counted;
}

void port_clock_start(void)
{
    (void)count_ticks();
    ticks = 0u;
}

uint64_t port_clock_ticks(void)
{
    return count_ticks();
}

uint32_t port_clock_hz(void)
{
    return SystemCoreClock;
}

/* Every millisecond, so that none of the counter's wraps (every 9 s at 480 MHz) is missed. */
void SysTick_Handler(void)
{
    HAL_IncTick();
    (void)count_ticks();
}

uint32_t port_stack_high_water(void)
{
    const uint32_t *lowest = port_stack_start;
    while (lowest < port_stack_end && *lowest == STACK_PAINT)
        lowest++;
    return (uint32_t)((const char *)port_stack_end - (const char *)lowest);
}

static void paint_stack(void)
{
    const uint32_t *top = (const uint32_t *)__get_MSP();
    for (volatile uint32_t *to = port_stack_start; to < top - 8; to++)
        *to = STACK_PAINT;
}

static void wait(uint32_t milliseconds)
{
    const uint32_t start = DWT->CYCCNT;
    while (DWT->CYCCNT - start < milliseconds * (SystemCoreClock / 1000u)) {
    }
}

static void blink(uint32_t milliseconds)
{
    HAL_GPIO_WritePin(BOARD_LED_PORT, BOARD_LED_PIN, GPIO_PIN_SET);
    wait(milliseconds);
    HAL_GPIO_WritePin(BOARD_LED_PORT, BOARD_LED_PIN, GPIO_PIN_RESET);
    wait(milliseconds);
}

/* Interrupts are off: the HAL's functions that are called here do not wait for its tick. */
void port_end(int code)
{
    __disable_irq();
    for (;;) {
        if (code < 1 || code > MAX_BLINKS) {
            blink(FLICKER_MILLISECONDS);
            continue;
        }
        for (int i = 0; i < code; i++)
            blink(BLINK_MILLISECONDS);
        wait(4u * BLINK_MILLISECONDS);
    }
}

void HardFault_Handler(void)
{
    port_end(PORT_EXIT_FAULT);
}

void MemManage_Handler(void)
{
    port_end(PORT_EXIT_FAULT);
}

void BusFault_Handler(void)
{
    port_end(PORT_EXIT_FAULT);
}

void UsageFault_Handler(void)
{
    port_end(PORT_EXIT_FAULT);
}

void BOARD_UART_IRQ_HANDLER(void)
{
    __HAL_UART_CLEAR_OREFLAG(&uart); /* a lost byte shows in the frame's checksum */
    while (__HAL_UART_GET_FLAG(&uart, UART_FLAG_RXNE)) {
        const uint8_t byte = (uint8_t)uart.Instance->RDR;
        if (ring_written - ring_read < RING_BYTES) {
            ring[ring_written % RING_BYTES] = byte;
            ring_written++;
        }
    }
}

int32_t port_serial_read(void)
{
    if (ring_read == ring_written)
        return -1;
    const int32_t byte = ring[ring_read % RING_BYTES];
    ring_read++;
    return byte;
}

void port_serial_write(const void *bytes, uint32_t count)
{
    const uint8_t *from = bytes;
    while (count > 0u) {
        const uint16_t part = count < 0x8000u ? (uint16_t)count : 0x8000u;
        (void)HAL_UART_Transmit(&uart, from, part, HAL_MAX_DELAY);
        from += part;
        count -= part;
    }
}

static void set_up_pin(GPIO_TypeDef *gpio, uint32_t pin, uint32_t mode, uint32_t alternate)
{
    GPIO_InitTypeDef setting = {0};
    setting.Pin = pin;
    setting.Mode = mode;
    setting.Pull = mode == GPIO_MODE_AF_PP ? GPIO_PULLUP : GPIO_NOPULL;
    setting.Speed = GPIO_SPEED_FREQ_LOW;
    setting.Alternate = alternate;
    HAL_GPIO_Init(gpio, &setting);
}

static int32_t set_up_uart(void)
{
    BOARD_PINS_CLOCK_ENABLE();
    BOARD_UART_CLOCK_ENABLE();
    set_up_pin(BOARD_TX_PORT, BOARD_TX_PIN, GPIO_MODE_AF_PP, BOARD_UART_ALTERNATE);
    set_up_pin(BOARD_RX_PORT, BOARD_RX_PIN, GPIO_MODE_AF_PP, BOARD_UART_ALTERNATE);
    uart.Instance = BOARD_UART;
    uart.Init.BaudRate = BAUD;
    uart.Init.WordLength = UART_WORDLENGTH_8B;
    uart.Init.StopBits = UART_STOPBITS_1;
    uart.Init.Parity = UART_PARITY_NONE;
    uart.Init.Mode = UART_MODE_TX_RX;
    uart.Init.HwFlowCtl = UART_HWCONTROL_NONE;
    uart.Init.OverSampling = UART_OVERSAMPLING_16;
    if (HAL_UART_Init(&uart) != HAL_OK)
        return STM32_END_UART;
    HAL_NVIC_SetPriority(BOARD_UART_IRQ, 1u, 0u);
    HAL_NVIC_EnableIRQ(BOARD_UART_IRQ);
    __HAL_UART_ENABLE_IT(&uart, UART_IT_RXNE);
    return 0;
}

/* Everything that no region covers stays as it is after a reset. */
static void set_region(MPU_Region_InitTypeDef *region)
{
    region->Enable = MPU_REGION_ENABLE;
    region->DisableExec = MPU_INSTRUCTION_ACCESS_DISABLE;
    HAL_MPU_Disable();
    HAL_MPU_ConfigRegion(region);
    HAL_MPU_Enable(MPU_PRIVILEGED_DEFAULT);
}

void stm32_map_read_only(uint8_t number, uint32_t base, uint8_t size)
{
    MPU_Region_InitTypeDef region = {0};
    region.Number = number;
    region.BaseAddress = base;
    region.Size = size;
    region.AccessPermission = MPU_REGION_PRIV_RO_URO;
    region.IsCacheable = MPU_ACCESS_CACHEABLE;
    set_region(&region);
}

/* The core reads normal memory ahead of the program. Where a serial flash is not ready yet, such a
 * read may block the bus (ST's QSPI examples forbid this range too). */
void stm32_forbid_external(void)
{
    MPU_Region_InitTypeDef region = {0};
    region.Number = 0u;
    region.BaseAddress = 0u;
    region.Size = MPU_REGION_SIZE_4GB;
    region.SubRegionDisable = 0xE7u; /* eighths of the addresses: only the fourth and the fifth */
    region.AccessPermission = MPU_REGION_NO_ACCESS;
    region.IsShareable = MPU_ACCESS_SHAREABLE;
    set_region(&region);
}

static void start_cycle_counter(void)
{
    CoreDebug->DEMCR |= CoreDebug_DEMCR_TRCENA_Msk;
    DWT->LAR = 0xC5ACCE55u; /* the Cortex-M7's counter is locked after a reset */
    DWT->CYCCNT = 0u;
    DWT->CTRL |= DWT_CTRL_CYCCNTENA_Msk;
}

static void copy_fast_code(void)
{
#ifdef OPLIB_FAST_CODE_SECTION
    const uint32_t *code = port_fast_code_load;
    for (uint32_t *to = port_fast_code_start; to < port_fast_code_end;)
        *to++ = *code++;
    __DSB();
    __ISB();
#endif
}

static int32_t start_board(void)
{
    int32_t code = board_clock_init();
    if (code == 0)
        code = set_up_uart();
    if (code == 0)
        code = board_memory_init();
    return code;
}

int __wrap_main(void)
{
    start_cycle_counter();
    paint_stack();
    copy_fast_code();
    stm32_forbid_external();
    SCB_EnableICache();
    SCB_EnableDCache();
    (void)
        HAL_Init(); /* starts SysTick, which cannot fail with the priority of the HAL's settings */
    BOARD_LED_CLOCK_ENABLE();
    set_up_pin(BOARD_LED_PORT, BOARD_LED_PIN, GPIO_MODE_OUTPUT_PP, 0u);
    const int32_t code = start_board();
    port_end(code == 0 ? __real_main() : code);
    return code;
}
