/* SPDX-License-Identifier: Apache-2.0
 *
 * Files and exit codes of the debugger or emulator (Arm semihosting).
 */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H

#include <stdint.h>

/* Open a file relative to the emulator's directory; a handle, or -1. */
int32_t semihosting_open_read(const char *name);
int32_t semihosting_open_write(const char *name);

/* Length of an open file in bytes, or -1. */
int32_t semihosting_length(int32_t handle);

/* Read or write exactly `length` bytes; 0 when all went well. */
int32_t semihosting_read(int32_t handle, void *data, uint32_t length);
int32_t semihosting_write(int32_t handle, const void *data, uint32_t length);

/* Close a file, which flushes it. */
int32_t semihosting_close(int32_t handle);

#endif
