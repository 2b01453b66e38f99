/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file interrupted.c
 * @brief The self-test of the network `net` without a C library, interrupted every millisecond.
 *
 * The interrupt's handler takes 512 bytes of the stack and fills them. Start-up code and exit are
 * here; ends with 0 if the test passed and the handler ran, otherwise with a code of its own.
 */
#include "net.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define SYST_CSR REGISTER(0xE000E010u)
#define SYST_RVR REGISTER(0xE000E014u)
#define SYST_CVR REGISTER(0xE000E018u)
#define TICKS_OF_A_MILLISECOND 25000u
#define SYS_EXIT_EXTENDED 0x20u
#define STOPPED_APPLICATION_EXIT 0x20026u
#define EXIT_FAULT 98u

extern uint32_t port_data_start[], port_data_end[], port_data_load[];
extern uint32_t port_bss_start[], port_bss_end[];

static NET_ALIGNED __attribute__((section(".arena"))) uint8_t arena[NET_ARENA_BYTES];
static struct net_context context;
static volatile uint32_t interrupts;

void port_reset(void);

static void end(uint32_t code)
{
    const uint32_t arguments[2] = {STOPPED_APPLICATION_EXIT, code};
    register uint32_t r0 __asm__("r0") = SYS_EXIT_EXTENDED;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    for (;;) {
    }
}

static void fault(void)
{
    end(EXIT_FAULT);
}

static void interrupt(void)
{
    volatile uint8_t taken[512];
    for (uint32_t i = 0; i < sizeof taken; i++)
        taken[i] = (uint8_t)(interrupts + i);
    interrupts++;
}

typedef void (*vector)(void);

__attribute__((section(".vectors"), used)) static const vector vectors[15] = {
    [0] = port_reset, [1] = fault, [2] = fault,      [3] = fault,
    [4] = fault,      [5] = fault, [14] = interrupt,
};

void port_reset(void)
{
    const uint32_t *from = port_data_load;
    for (volatile uint32_t *to = port_data_start; to < port_data_end;)
        *to++ = *from++;
    for (volatile uint32_t *to = port_bss_start; to < port_bss_end;)
        *to++ = 0u;
    SYST_RVR = TICKS_OF_A_MILLISECOND - 1u;
    SYST_CVR = 0u;
    SYST_CSR = 7u; /* enabled, interrupt, processor clock */
    int32_t status = net_init(&context, arena, sizeof arena);
    if (status == NET_OK)
        status = net_selftest(&context);
    end(status != NET_OK ? 1u : interrupts < 10u ? 2u : 0u);
}
