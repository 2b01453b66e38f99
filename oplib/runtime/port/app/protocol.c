/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol.h"

#include "oplib_support.h"

#define HEAD 3u
#define CRC_BYTES 4u
#define STUFFED 1u             /* index of COBS's first byte in the line */
#define DECODED (STUFFED + 1u) /* index of the frame itself */
#define MAX_STUFFED (PROTOCOL_FRAME_BYTES + 1u)

/* A frame is shorter than 255 bytes. So COBS adds exactly one byte, which is the distance to the
 * first zero, and every zero becomes the distance to the next: stuffing works in place. */

/* Undo the stuffing of `count` bytes, none of them zero; return whether the distances are right. */
static int32_t unstuff(uint8_t *stuffed, uint32_t count)
{
    uint32_t at = 0;
    while (at < count) {
        const uint32_t distance = stuffed[at];
        stuffed[at] = 0;
        at += distance;
    }
    return at == count;
}

static int32_t is_whole(struct protocol_frame *frame, uint32_t count)
{
    if (count < 1u + HEAD + CRC_BYTES || count > MAX_STUFFED ||
        !unstuff(frame->line + STUFFED, count))
        return 0;
    const uint8_t *const bytes = frame->line + DECODED;
    const uint32_t covered = HEAD + bytes[2];
    if (count != 1u + covered + CRC_BYTES)
        return 0;
    const uint32_t crc = oplib_crc32(bytes, covered);
    for (uint32_t i = 0; i < CRC_BYTES; i++)
        if (bytes[covered + i] != (uint8_t)(crc >> (8u * i)))
            return 0;
    return 1;
}

int32_t protocol_receive(struct protocol_frame *frame, uint8_t byte)
{
    if (byte == 0u) {
        const uint32_t count = frame->count;
        frame->count = 0;
        return is_whole(frame, count);
    }
    if (frame->count < MAX_STUFFED)
        frame->line[STUFFED + frame->count] = byte;
    if (frame->count <= MAX_STUFFED) /* one more than fits: too long, until the next zero */
        frame->count++;
    return 0;
}

uint32_t protocol_encode(struct protocol_frame *frame, uint8_t type, uint8_t sequence,
                         uint32_t length)
{
    uint8_t *const bytes = frame->line + DECODED;
    bytes[0] = type;
    bytes[1] = sequence;
    bytes[2] = (uint8_t)length;
    const uint32_t crc = oplib_crc32(bytes, HEAD + length);
    for (uint32_t i = 0; i < CRC_BYTES; i++)
        bytes[HEAD + length + i] = (uint8_t)(crc >> (8u * i));
    const uint32_t end = DECODED + HEAD + length + CRC_BYTES;
    uint32_t next = end;
    for (uint32_t at = end - 1u; at > STUFFED; at--)
        if (frame->line[at] == 0u) {
            frame->line[at] = (uint8_t)(next - at);
            next = at;
        }
    frame->line[STUFFED] = (uint8_t)(next - STUFFED);
    frame->line[0] = 0;
    frame->line[end] = 0;
    frame->count = 0;
    return end + 1u;
}
