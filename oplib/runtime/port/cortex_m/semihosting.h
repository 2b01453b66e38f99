/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file semihosting.h
 * @brief Files of the debugger or emulator (Arm semihosting).
 */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** @brief Open a file of the emulator's directory for reading; return a handle, or -1. */
int32_t semihosting_open_read(const char *name);

/** @brief Open a file of the emulator's directory for writing; return a handle, or -1. */
int32_t semihosting_open_write(const char *name);

/** @brief Length of an open file in bytes, or -1. */
int32_t semihosting_length(int32_t handle);

/** @brief Read exactly `length` bytes; return 0 if all of them were read. */
int32_t semihosting_read(int32_t handle, void *data, uint32_t length);

/** @brief Write exactly `length` bytes; return 0 if all of them were written. */
int32_t semihosting_write(int32_t handle, const void *data, uint32_t length);

/** @brief Close a file, which flushes it; return 0 on success. */
int32_t semihosting_close(int32_t handle);

/** @brief Print a text on the emulator's console. */
void semihosting_print(const char *text);

#ifdef __cplusplus
}
#endif

#endif
