/* SPDX-License-Identifier: Apache-2.0
 *
 * The one place where instruction sets differ. Every function gives the same integers on every
 * target. ISO C leaves the right shift of a negative number to the compiler; all of ours (gcc, clang,
 * armclang) shift arithmetically, which oplib_asr_is_arithmetic checks when compiled.
 */
#ifndef OPLIB_ISA_H
#define OPLIB_ISA_H

#include <stdint.h>

typedef char oplib_asr_is_arithmetic[((-3) >> 1) == -2 ? 1 : -1];

/* (acc * multiplier + addend * 2^32 + 2^31) >> 32 */
static inline int32_t oplib_multiply_high(int32_t acc, int32_t multiplier, int32_t addend)
{
#if defined(__ARM_FEATURE_DSP)
    int32_t result;
    __asm__("smmlar %0, %1, %2, %3" : "=r"(result) : "r"(acc), "r"(multiplier), "r"(addend));
    return result;
#else
    const int64_t product = (int64_t)acc * multiplier + ((int64_t)1 << 31);
    return (int32_t)(product >> 32) + addend;
#endif
}

/* Clip to [-128, 127]. */
static inline int8_t oplib_saturate_s8(int32_t value)
{
#if defined(__ARM_FEATURE_SAT)
    int32_t result;
    __asm__("ssat %0, #8, %1" : "=r"(result) : "r"(value));
    return (int8_t)result;
#else
    return (int8_t)(value > 127 ? 127 : value < -128 ? -128 : value);
#endif
}

/* Clip to [-32768, 32767]. */
static inline int16_t oplib_saturate_s16(int64_t value)
{
    return (int16_t)(value > 32767 ? 32767 : value < -32768 ? -32768 : value);
}

/* Leading zero bits of a number that is not 0. */
static inline int32_t oplib_count_leading_zeros(uint32_t value)
{
#if defined(__GNUC__)
    return (int32_t)__builtin_clz(value);
#else
    int32_t count = 0;
    while ((value & 0x80000000u) == 0u) {
        value <<= 1;
        count++;
    }
    return count;
#endif
}

#endif
