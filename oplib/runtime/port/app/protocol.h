/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file protocol.h
 * @brief Frames of the serial line between `python -m oplib.serve` and a board.
 *
 * A frame is type (1 byte), sequence number (1), length (1), so many bytes of payload, and the
 * CRC-32 of all these (4, little endian; the polynomial of zlib), stuffed by COBS (Cheshire and
 * Baker, "Consistent overhead byte stuffing", 1999), so that no byte of it is zero, between two
 * zero bytes. Whatever else stands between two zeros is dropped without a word: noise costs the
 * frames that it hits, and no others.
 *
 * The computer asks, the board answers: the answer to a request has its sequence number, its type
 * with PROTOCOL_ANSWER added, and a status as the first byte of its payload. Numbers are little
 * endian. Nothing is allocated, and nothing is global.
 */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PROTOCOL_VERSION 1
#define PROTOCOL_PAYLOAD_BYTES 240
#define PROTOCOL_FRAME_BYTES (3 + PROTOCOL_PAYLOAD_BYTES + 4)
#define PROTOCOL_LINE_BYTES (PROTOCOL_FRAME_BYTES + 3) /* with both zeros and COBS's one byte */

enum protocol_type {
    PROTOCOL_INFO = 1,  /* -> a description of network and board; what was begun is dropped */
    PROTOCOL_WRITE = 2, /* offset, bytes of the image -> nothing */
    PROTOCOL_RUN = 3,   /* -> the network's status, rows that it waits for, ticks, stack */
    PROTOCOL_READ = 4,  /* first, count -> logits */
    PROTOCOL_ANSWER = 128
};

enum protocol_status {
    PROTOCOL_OK = 0,
    PROTOCOL_UNKNOWN_TYPE = 1,
    PROTOCOL_WRONG_LENGTH = 2, /* of the payload */
    PROTOCOL_WRONG_PLACE = 3,  /* beyond what is expected, or after a gap */
    PROTOCOL_INCOMPLETE = 4,   /* RUN before all bytes were written */
    PROTOCOL_NO_RESULT = 5     /* READ without logits */
};

/** A frame that is being received, was received, or is to be sent; all zero at first. */
struct protocol_frame {
    uint16_t count;                    /* of the bytes received since the last zero */
    uint8_t line[PROTOCOL_LINE_BYTES]; /* these, from the second byte on */
};

/** @brief Type of a received frame. */
static inline uint8_t protocol_type(const struct protocol_frame *frame)
{
    return frame->line[2];
}

/** @brief Sequence number of a received frame. */
static inline uint8_t protocol_sequence(const struct protocol_frame *frame)
{
    return frame->line[3];
}

/** @brief Number of bytes of a received frame's payload. */
static inline uint32_t protocol_length(const struct protocol_frame *frame)
{
    return frame->line[4];
}

/** @brief Payload of a received frame, or of one to be sent: PROTOCOL_PAYLOAD_BYTES. */
static inline uint8_t *protocol_payload(struct protocol_frame *frame)
{
    return frame->line + 5;
}

/**
 * @brief Take the next byte from the line.
 * @return 1 if it ends a whole frame, which stays until the next byte is taken; otherwise 0
 */
int32_t protocol_receive(struct protocol_frame *frame, uint8_t byte);

/**
 * @brief Turn a payload into a frame on the line.
 *
 * The first bytes of frame->line are then to be sent; the frame is ready to receive again.
 * @param length  bytes of the payload, at most PROTOCOL_PAYLOAD_BYTES
 * @return number of bytes to send
 */
uint32_t protocol_encode(struct protocol_frame *frame, uint8_t type, uint8_t sequence,
                         uint32_t length);

#ifdef __cplusplus
}
#endif

#endif
