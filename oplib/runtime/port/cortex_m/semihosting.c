/* SPDX-License-Identifier: Apache-2.0 */
#include "semihosting.h"

#include "port.h"

#define SYS_OPEN 0x01
#define SYS_CLOSE 0x02
#define SYS_WRITE0 0x04
#define SYS_WRITE 0x05
#define SYS_READ 0x06
#define SYS_FLEN 0x0C
#define SYS_EXIT_EXTENDED 0x20
#define STOPPED_APPLICATION_EXIT 0x20026u
#define MODE_READ_BINARY 1u
#define MODE_WRITE_BINARY 5u

static int32_t call(uint32_t operation, const void *arguments)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return (int32_t)r0;
}

static int32_t open_file(const char *name, uint32_t mode)
{
    uint32_t length = 0u;
    while (name[length] != '\0')
        length++;
    const uint32_t arguments[3] = {(uint32_t)(uintptr_t)name, mode, length};
    return call(SYS_OPEN, arguments);
}

int32_t semihosting_open_read(const char *name)
{
    return open_file(name, MODE_READ_BINARY);
}

int32_t semihosting_open_write(const char *name)
{
    return open_file(name, MODE_WRITE_BINARY);
}

int32_t semihosting_length(int32_t handle)
{
    const uint32_t arguments[1] = {(uint32_t)handle};
    return call(SYS_FLEN, arguments);
}

static int32_t transfer(uint32_t operation, int32_t handle, uintptr_t data, uint32_t length)
{
    const uint32_t arguments[3] = {(uint32_t)handle, (uint32_t)data, length};
    return call(operation, arguments);
}

int32_t semihosting_read(int32_t handle, void *data, uint32_t length)
{
    return transfer(SYS_READ, handle, (uintptr_t)data, length);
}

int32_t semihosting_write(int32_t handle, const void *data, uint32_t length)
{
    return transfer(SYS_WRITE, handle, (uintptr_t)data, length);
}

int32_t semihosting_close(int32_t handle)
{
    const uint32_t arguments[1] = {(uint32_t)handle};
    return call(SYS_CLOSE, arguments);
}

void semihosting_print(const char *text)
{
    (void)call(SYS_WRITE0, text);
}

void port_end(int code)
{
    const uint32_t arguments[2] = {STOPPED_APPLICATION_EXIT, (uint32_t)code};
    (void)call(SYS_EXIT_EXTENDED, arguments);
    for (;;) {
    }
}
