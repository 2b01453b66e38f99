/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file startup.c
 * @brief Vector table, start-up, SysTick clock and stack measurement for any Cortex-M.
 */
#include "board.h"
#include "port.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define SYST_CSR REGISTER(0xE000E010u)
#define SYST_RVR REGISTER(0xE000E014u)
#define SYST_CVR REGISTER(0xE000E018u)
#define ICSR REGISTER(0xE000ED04u)
#define MPU_CTRL REGISTER(0xE000ED94u)
#define MPU_RNR REGISTER(0xE000ED98u)
#define MPU_RBAR REGISTER(0xE000ED9Cu)
#define MPU_RASR REGISTER(0xE000EDA0u)
#define SYST_RANGE 0x1000000u
#define ICSR_PENDSTSET (1u << 26)
#define STACK_PAINT 0xC5C5C5C5u

/* from the linker script */
extern uint32_t port_stack_start[], port_stack_end[];
extern uint32_t port_data_start[], port_data_end[], port_data_load[];
#ifdef OPLIB_FAST_CODE_SECTION
extern uint32_t port_fast_code_start[], port_fast_code_end[], port_fast_code_load[];
#endif
extern uint32_t port_bss_start[], port_bss_end[];

void port_reset(void);

static volatile uint32_t wraps;

static void fault(void)
{
    port_end(PORT_EXIT_FAULT);
}

static void unexpected(void)
{
    port_end(PORT_EXIT_UNEXPECTED_INTERRUPT);
}

static void systick(void)
{
    wraps++;
}

typedef void (*vector)(void);

/* Index n is vector n + 1 of the architecture, because the linker script puts the initial stack
 * pointer first. Entries that are not listed are reserved. */
__attribute__((section(".vectors"), used)) static const vector vectors[15] = {
    [0] = port_reset,  /* reset */
    [1] = unexpected,  /* non-maskable interrupt */
    [2] = fault,       /* hard fault */
    [3] = fault,       /* memory management */
    [4] = fault,       /* bus fault */
    [5] = fault,       /* usage fault */
    [10] = unexpected, /* supervisor call */
    [11] = unexpected, /* debug monitor */
    [13] = unexpected, /* pended supervisor call */
    [14] = systick,    /* clock */
};

#ifdef BOARD_MPU_REGIONS
/* Permit access to the device's own memory only; everything else faults. */
static void restrict_memory(void)
{
    static const struct {
        uint32_t base, attributes;
    } regions[] = BOARD_MPU_REGIONS;
    for (uint32_t i = 0; i < sizeof regions / sizeof regions[0]; i++) {
        MPU_RNR = i;
        MPU_RBAR = regions[i].base;
        MPU_RASR = regions[i].attributes;
    }
    MPU_CTRL = 1u;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
}
#endif

__attribute__((noreturn)) void port_reset(void)
{
#ifdef BOARD_MPU_REGIONS
    restrict_memory();
#endif
#ifdef OPLIB_FAST_CODE_SECTION
    const uint32_t *code = port_fast_code_load;
    for (uint32_t *to = port_fast_code_start; to < port_fast_code_end;)
        *to++ = *code++;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
    const uint32_t *from = port_data_load;
    for (uint32_t *to = port_data_start; to < port_data_end;)
        *to++ = *from++;
    for (uint32_t *to = port_bss_start; to < port_bss_end;)
        *to++ = 0u;
    const uint32_t *top;
    __asm__ volatile("mov %0, sp" : "=r"(top));
    for (uint32_t *to = port_stack_start; to < top - 8;)
        *to++ = STACK_PAINT;
    port_end(main());
    for (;;) {
    }
}

uint32_t port_stack_high_water(void)
{
    const uint32_t *lowest = port_stack_start;
    while (lowest < port_stack_end && *lowest == STACK_PAINT)
        lowest++;
    return (uint32_t)((const char *)port_stack_end - (const char *)lowest);
}

void port_clock_start(void)
{
    SYST_CSR = 0u;
    SYST_RVR = SYST_RANGE - 1u;
    SYST_CVR = 0u;
    wraps = 0u;
    SYST_CSR = 7u; /* enabled, interrupt, processor clock */
}

uint64_t port_clock_ticks(void)
{
    uint32_t before, value;
    do {
        before = wraps;
        value = SYST_CVR;
    } while (before != wraps || (ICSR & ICSR_PENDSTSET) != 0u);
    const uint32_t elapsed = value == 0u ? 0u : SYST_RANGE - value;
    return (uint64_t)before * SYST_RANGE + elapsed;
}
