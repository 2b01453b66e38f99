/* Products of a tile that ends where memory ends, with weights that do, compared with plain sums. */
#include "product_4x2.h"

#ifndef BEYOND
#define BEYOND 0 /* quads that the call counts too many */
#endif

__asm__(".section .vectors,\"a\"\n"
        ".word 0x20001000, main + 1, fault + 1, fault + 1, fault + 1, fault + 1, fault + 1\n"
        ".text\n");

enum { EQUAL, DIFFERENT, FAULT };

static void leave(uint32_t code)
{
    const uint32_t block[2] = {0x20026u, code};
    register uint32_t operation __asm__("r0") = 0x20u; /* SYS_EXIT_EXTENDED */
    register const uint32_t *argument __asm__("r1") = block;
    __asm__ volatile("bkpt 0xab" : : "r"(operation), "r"(argument) : "memory");
}

void fault(void)
{
    leave(FAULT);
}

/* Permit 4 MB from each address, and nothing else. */
static void protect(void)
{
    volatile uint32_t *const mpu = (volatile uint32_t *)0xE000ED94u; /* CTRL, RNR, RBAR, RASR */
    for (uint32_t region = 0; region < 2; region++) {
        mpu[1] = region;
        mpu[2] = region * 0x20000000u;
        mpu[3] = 0x03020000u | 21u << 1 | 1u;
    }
    mpu[0] = 1u;
    __asm__ volatile("dsb\n\tisb" : : : "memory");
}

static int32_t plain(const int16_t *tile, const int8_t *weight, int32_t quads, int32_t token,
                     int32_t channel)
{
    int32_t sum = 0;
    for (int32_t half = 0; half < 2 * quads; half++) {
        for (int32_t k = 0; k < 2; k++) {
            const int32_t product =
                tile[8 * half + 2 * token + k] * weight[4 * half + 2 * k + channel];
            sum += product;
            __asm__ volatile("" : "+r"(sum));
        }
    }
    return sum;
}

int main(void)
{
    uint32_t state = 1u;
    protect();
    for (int32_t quads = 1; quads <= 13; quads++) {
        int16_t *const tile = (int16_t *)(0x20400000u - OPLIB_QUAD_BYTES * (uint32_t)quads);
        int8_t *const weight = (int8_t *)(0x00400000u - OPLIB_WEIGHT_QUAD_BYTES * (uint32_t)quads);
        for (int32_t i = 0; i < 16 * quads; i++)
            tile[i] = (int16_t)((int32_t)((state = state * 1664525u + 1013904223u) >> 23) - 256);
        for (int32_t i = 0; i < 8 * quads; i++)
            weight[i] = (int8_t)((state = state * 1664525u + 1013904223u) >> 24);
        const oplib_block_4x2 sum = oplib_product_4x2(tile, weight, quads + BEYOND, 1000, -7);
        const int32_t found[4][2] = {
            {sum.t0c0, sum.t0c1}, {sum.t1c0, sum.t1c1}, {sum.t2c0, sum.t2c1}, {sum.t3c0, sum.t3c1}};
        for (int32_t token = 0; token < 4; token++)
            if (found[token][0] != 1000 + plain(tile, weight, quads, token, 0) ||
                found[token][1] != -7 + plain(tile, weight, quads, token, 1))
                leave(DIFFERENT);
    }
    leave(EQUAL);
    return 0;
}
