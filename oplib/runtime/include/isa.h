/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file isa.h
 * @brief The one place where instruction sets and compilers differ.
 *
 * Every function gives the same integers on every target. ISO C leaves the right shift of a
 * negative number to the compiler; gcc, clang and armclang shift arithmetically, which
 * oplib_asr_is_arithmetic checks during compilation. Words are little endian.
 */
#ifndef OPLIB_ISA_H
#define OPLIB_ISA_H

#include <stdint.h>

#include "geometry.h"

typedef char oplib_asr_is_arithmetic[((-3) >> 1) == -2 ? 1 : -1];

/* A network for a Cortex-M4 is compiled for other processors too, for instance to try it. */
#if defined(OPLIB_CORTEX_M4) && !defined(__arm__)
#undef OPLIB_CORTEX_M4
#endif

#if defined(__GNUC__)
#define OPLIB_INLINE static inline __attribute__((always_inline))
#else
#define OPLIB_INLINE static inline
#endif

/* Keep a function apart: its locals take stack only while it runs. */
#if defined(__GNUC__)
#define OPLIB_APART __attribute__((noinline))
#else
#define OPLIB_APART
#endif

/* Copy a constant number of bytes. Without a C library (-ffreestanding), memcpy() by its own name
 * would be a call. */
#if defined(__GNUC__)
#define OPLIB_COPY(to, from, bytes) __builtin_memcpy(to, from, bytes)
#else
#include <string.h>
#define OPLIB_COPY(to, from, bytes) memcpy(to, from, bytes)
#endif

/* Order accesses to memory: the compiler moves none across it and merges none. */
#if defined(__GNUC__)
#define OPLIB_BARRIER() __asm__ volatile("" ::: "memory")
#else
#define OPLIB_BARRIER() ((void)0)
#endif

/* Whether one instruction adds two products of halfwords. */
#if defined(__ARM_FEATURE_DSP)
#define OPLIB_DUAL_PRODUCTS 1
#else
#define OPLIB_DUAL_PRODUCTS 0
#endif

/* The order of loads in micro-kernels. A Cortex-M7 issues a load beside a multiply-accumulate; on a
 * Cortex-M4 a load of one word takes one cycle less right after another one. */
#if defined(OPLIB_CORTEX_M4) || defined(__clang__) /* which keeps a register for itself */
#define OPLIB_LOADS_INTERLEAVE 0
#else
#define OPLIB_LOADS_INTERLEAVE 1
#endif

/* Whether a pair of weight rows serves all tiles of a panel before the next pair is read. It saves
 * time where a data cache keeps the pair; elsewhere each tile reads all weights, with less code. */
#if defined(OPLIB_CORTEX_M4) || (defined(__ARM_ARCH_PROFILE) && !OPLIB_DUAL_PRODUCTS)
#define OPLIB_WEIGHTS_OUTSIDE 0
#else
#define OPLIB_WEIGHTS_OUTSIDE 1
#endif

/* A kernel's loop over channels and tiles. With the weights outside it needs every register, and
 * beside a second such loop in one function GCC spills in one of them. */
#if defined(__GNUC__) && OPLIB_WEIGHTS_OUTSIDE
#define OPLIB_LOOP static OPLIB_APART
#else
#define OPLIB_LOOP OPLIB_INLINE
#endif

/* Elements of the caller's buffers. The same bytes hold int8 at one time and int16 or int32 at
 * another, so the compiler must not derive from types which accesses overlap (strict aliasing).
 * Compilers without this attribute need the option that disables that for the whole program. */
#if defined(__GNUC__)
typedef int16_t __attribute__((may_alias)) oplib_memory_s16;
typedef uint16_t __attribute__((may_alias)) oplib_memory_u16;
typedef int32_t __attribute__((may_alias)) oplib_memory_s32;
typedef uint32_t __attribute__((may_alias)) oplib_memory_u32;
typedef uint64_t __attribute__((may_alias)) oplib_memory_u64;
#else
typedef int16_t oplib_memory_s16;
typedef uint16_t oplib_memory_u16;
typedef int32_t oplib_memory_s32;
typedef uint32_t oplib_memory_u32;
typedef uint64_t oplib_memory_u64;
#endif

/* Scheduling before register allocation makes GCC spill in a micro-kernel that needs every
 * register. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__ARM_FEATURE_DSP)
#define OPLIB_MICRO_KERNEL __attribute__((optimize("no-schedule-insns")))
#else
#define OPLIB_MICRO_KERNEL
#endif

/* Kernels that a port may place in fast memory (ITCM): each has a section of its own, which the
 * linker script of a device with a fast_code_region copies there at start-up. */
#if defined(OPLIB_FAST_CODE_SECTION)
#define OPLIB_FAST(name) __attribute__((section(".fast_code." #name)))
#else
#define OPLIB_FAST(name)
#endif

/* Hide the origin of a value from the compiler: GCC would turn the addition of a negated product
 * into a subtraction, for which there is no multiply-accumulate instruction. */
#if defined(__GNUC__) && defined(__ARM_FEATURE_DSP)
#define OPLIB_OPAQUE(value) __asm__("" : "+r"(value))
#else
#define OPLIB_OPAQUE(value) (void)(value)
#endif

/* Instructions of micro-kernels, in the order in which they are written. `from` is a pointer plus a
 * constant. */
#if OPLIB_DUAL_PRODUCTS
#define OPLIB_WORD(from) (*(const oplib_memory_u32 *)(const void *)(from))
#define OPLIB_WORDS(from) (*(const oplib_memory_u64 *)(const void *)(from))

/* OPLIB_LOAD: a word; _TWO: two from a multiple of 8; _ADVANCE: then advance the pointer by a
 * constant number of bytes. Clang orders the instructions by its own model of the core. */
#if defined(__clang__)
#define OPLIB_ORDERED __asm__
#define OPLIB_LOAD(word, from) ((word) = OPLIB_WORD(from))
#define OPLIB_LOAD_TWO(word, next, from)                                                           \
    ((word) = OPLIB_WORD(from), (next) = OPLIB_WORD((from) + 4))
#define OPLIB_LOAD_ADVANCE(word, from, bytes) (OPLIB_LOAD(word, from), (from) += (bytes))
#define OPLIB_LOAD_TWO_ADVANCE(word, next, from, bytes)                                            \
    (OPLIB_LOAD_TWO(word, next, from), (from) += (bytes))
#else
#define OPLIB_ORDERED __asm__ volatile
#define OPLIB_LOAD(word, from) OPLIB_ORDERED("ldr %0, %1" : "=r"(word) : "m"(OPLIB_WORD(from)))
#define OPLIB_LOAD_TWO(word, next, from)                                                           \
    OPLIB_ORDERED("ldrd %0, %1, %2" : "=r"(word), "=r"(next) : "m"(OPLIB_WORDS(from)))
#define OPLIB_LOAD_ADVANCE(word, from, bytes)                                                      \
    OPLIB_ORDERED("ldr %0, [%1], %2" : "=&r"(word), "+r"(from) : "i"(bytes), "m"(OPLIB_WORD(from)))
#define OPLIB_LOAD_TWO_ADVANCE(word, next, from, bytes)                                            \
    OPLIB_ORDERED("ldrd %0, %1, [%2], %3"                                                          \
                  : "=&r"(word), "=&r"(next), "+r"(from)                                           \
                  : "i"(bytes), "m"(OPLIB_WORDS(from)))
#endif

/* Bytes 0 and 2, or 1 and 3, as signed halfwords; sum += low(a) * low(b) + high(a) * high(b) */
#define OPLIB_EVEN(halves, word) OPLIB_ORDERED("sxtb16 %0, %1" : "=r"(halves) : "r"(word))
#define OPLIB_ODD(halves, word) OPLIB_ORDERED("sxtb16 %0, %1, ror #8" : "=r"(halves) : "r"(word))
#define OPLIB_ADD_PRODUCTS(sum, a, b)                                                              \
    OPLIB_ORDERED("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b))

#elif defined(__GNUC__) && defined(__arm__) && __ARM_ARCH_ISA_THUMB == 2
#define OPLIB_LOAD_S8(value, from) __asm__ volatile("ldrsb %0, %1" : "=r"(value) : "m"(*(from)))
#define OPLIB_LOAD_S16(value, from) __asm__ volatile("ldrsh %0, %1" : "=r"(value) : "m"(*(from)))
#define OPLIB_ADD_PRODUCT(sum, a, b)                                                               \
    __asm__ volatile("mla %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b))
#else
#define OPLIB_LOAD_S8(value, from) ((value) = *(from))
#define OPLIB_LOAD_S16(value, from) ((value) = *(from))
#define OPLIB_ADD_PRODUCT(sum, a, b) ((sum) += (a) * (b))
#endif

/* 1 if a < b, otherwise 0, as the sign of their difference: without a comparison. */
OPLIB_INLINE int32_t oplib_is_less(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)(a - b) >> 31);
}

/* (acc * multiplier + addend * 2^32 + 2^31) >> 32 */
OPLIB_INLINE int32_t oplib_multiply_high(int32_t acc, int32_t multiplier, int32_t addend)
{
#if OPLIB_DUAL_PRODUCTS
    int32_t result;
    if (__builtin_constant_p(addend) && addend == 0)
        __asm__("smmulr %0, %1, %2" : "=r"(result) : "r"(acc), "r"(multiplier));
    else
        __asm__("smmlar %0, %1, %2, %3" : "=r"(result) : "r"(acc), "r"(multiplier), "r"(addend));
    return result;
#else
    const int64_t product = (int64_t)acc * multiplier + ((int64_t)1 << 31);
    return (int32_t)(product >> 32) + addend;
#endif
}

/* Clip value >> shift to [-128, 127]; `shift` is a constant in [0, 31]. The result stays a word,
 * because the compiler would sign-extend a byte again. */
OPLIB_INLINE int32_t oplib_saturate_shifted_s8(int32_t value, int32_t shift)
{
#if OPLIB_DUAL_PRODUCTS
    int32_t result; /* without optimisation, only a literal is an immediate operand */
    if (shift == 7)
        __asm__("ssat %0, #8, %1, asr #7" : "=r"(result) : "r"(value));
    else if (shift == 16)
        __asm__("ssat %0, #8, %1, asr #16" : "=r"(result) : "r"(value));
    else
        __asm__("ssat %0, #8, %1" : "=r"(result) : "r"(value >> shift));
    return result;
#else
    const int32_t shifted = value >> shift;
    return shifted > 127 ? 127 : shifted < -128 ? -128 : shifted;
#endif
}

/* Clip to [-128, 127]. */
OPLIB_INLINE int8_t oplib_saturate_s8(int32_t value)
{
    return (int8_t)oplib_saturate_shifted_s8(value, 0);
}

/* Clip to [-32768, 32767]. */
static inline int16_t oplib_saturate_s16(int64_t value)
{
    return (int16_t)(value > 32767 ? 32767 : value < -32768 ? -32768 : value);
}

/* Number of leading zero bits; value is not 0. */
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

/* Load four bytes from any address. */
OPLIB_INLINE uint32_t oplib_load_u32(const void *from)
{
    uint32_t word;
    OPLIB_COPY(&word, from, sizeof word);
    return word;
}

/* Declare to the compiler that an address is a multiple of `bytes`. */
#if defined(__GNUC__)
#define OPLIB_ASSUME_ALIGNED(address, bytes) __builtin_assume_aligned(address, bytes)
#else
#define OPLIB_ASSUME_ALIGNED(address, bytes) (address)
#endif

/* Load two bytes from any address. */
OPLIB_INLINE uint32_t oplib_load_u16(const void *from)
{
    uint16_t half;
    OPLIB_COPY(&half, from, sizeof half);
    return half;
}

/* Load four bytes from an address that is a multiple of 4. */
OPLIB_INLINE uint32_t oplib_load_aligned_u32(const void *from)
{
    return oplib_load_u32(OPLIB_ASSUME_ALIGNED(from, 4));
}

/* Load eight bytes, in one instruction, from an address that is a multiple of 8. */
OPLIB_INLINE uint64_t oplib_load_u64(const void *from)
{
    uint64_t words;
    OPLIB_COPY(&words, OPLIB_ASSUME_ALIGNED(from, 8), sizeof words);
    return words;
}

/* Store four bytes to an address that is a multiple of 4. */
OPLIB_INLINE void oplib_store_u32(void *to, uint32_t word)
{
    OPLIB_COPY(OPLIB_ASSUME_ALIGNED(to, 4), &word, sizeof word);
}

/* Two halfwords as one word. */
OPLIB_INLINE uint32_t oplib_halves(int32_t low, int32_t high)
{
#if OPLIB_DUAL_PRODUCTS
    uint32_t word;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(word) : "r"(low), "r"(high));
    return word;
#else
    return ((uint32_t)low & 0xffffu) | (uint32_t)high << 16;
#endif
}

/* The high halfwords of two words as one word. */
OPLIB_INLINE uint32_t oplib_high_halves(uint32_t low, uint32_t high)
{
#if OPLIB_DUAL_PRODUCTS
    uint32_t word;
    __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(word) : "r"(high), "r"(low));
    return word;
#else
    return low >> 16 | (high & 0xffff0000u);
#endif
}

/* Bytes 0 and 2 of a word as two signed halfwords. */
OPLIB_INLINE uint32_t oplib_even_bytes(uint32_t word)
{
#if OPLIB_DUAL_PRODUCTS
    uint32_t halves;
    __asm__("sxtb16 %0, %1" : "=r"(halves) : "r"(word));
    return halves;
#else
    return oplib_halves((int8_t)word, (int8_t)(word >> 16));
#endif
}

/* Bytes 1 and 3 of a word as two signed halfwords. */
OPLIB_INLINE uint32_t oplib_odd_bytes(uint32_t word)
{
#if OPLIB_DUAL_PRODUCTS
    uint32_t halves;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(halves) : "r"(word));
    return halves;
#else
    return oplib_halves((int8_t)(word >> 8), (int8_t)(word >> 24));
#endif
}

/* acc + low(a) * low(b) + high(a) * high(b), signed halfwords */
OPLIB_INLINE int32_t oplib_dual_multiply_add(uint32_t a, uint32_t b, int32_t acc)
{
#if OPLIB_DUAL_PRODUCTS
    __asm__("smlad %0, %1, %2, %0" : "+r"(acc) : "r"(a), "r"(b));
    return acc;
#else
    const int32_t low = (int16_t)a * (int32_t)(int16_t)b;
    const int32_t high = (int16_t)(a >> 16) * (int32_t)(int16_t)(b >> 16);
    return acc + low + high;
#endif
}

/* The larger of each pair of signed bytes. */
OPLIB_INLINE uint32_t oplib_max_bytes(uint32_t a, uint32_t b)
{
#if OPLIB_DUAL_PRODUCTS
    uint32_t larger;
    __asm__("ssub8 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(larger) : "r"(a), "r"(b) : "cc");
    return larger;
#else
    uint32_t larger = 0u;
    for (int32_t bits = 0; bits < 32; bits += 8) {
        const uint32_t x = a >> bits & 0xffu, y = b >> bits & 0xffu;
        larger |= ((int8_t)x > (int8_t)y ? x : y) << bits;
    }
    return larger;
#endif
}

#endif
