/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file oplib_support.h
 * @brief What a network needs besides its operators: a checksum, a copy, a picture for its test.
 */
#ifndef OPLIB_SUPPORT_H
#define OPLIB_SUPPORT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** @brief CRC-32 of bytes in memory (polynomial 0xedb88320, as in zlib). */
uint32_t oplib_crc32(const void *bytes, size_t count);

/** @brief Copy bytes without a C library; the two places do not overlap. */
void oplib_copy(void *to, const void *from, size_t count);

/** @brief Index of the largest of `count` logits, the first of equal ones. */
int32_t oplib_largest(const int32_t *logits, int32_t count);

/**
 * @brief Pixels of a picture without an image: a function of each byte's place alone.
 *
 * Byte i is h(i) mod (value_max + 1), with h(i) = x ^ (x >> 16), x = (i + 1) * 2654435761 mod 2^32.
 *
 * @param[out] pixels     `count` bytes of the picture
 * @param      first      place of the first of them
 * @param      count      number of bytes
 * @param      value_max  largest value of a pixel, 1 to 255
 */
void oplib_test_pattern(uint8_t *pixels, int32_t first, int32_t count, int32_t value_max);

#ifdef __cplusplus
}
#endif

#endif
