/* SPDX-License-Identifier: Apache-2.0 */
#include "serve.h"

#include <string.h>

#include "port.h"
#include "protocol.h"

#define FLAG_FETCHES_ROWS 1u
#define RUN_ANSWER_BYTES 25u

static struct {
    struct protocol_frame frame;
    struct network_context *context;
    int32_t status; /* of network_init() */
    /* the bytes that are written next: the whole image, or the rows that the network waits for */
    uint8_t *place;
    uint32_t expected, written;
    int32_t first, count;
    uint64_t ticks;     /* of the image so far, without waiting for rows */
    uint8_t has_logits; /* the last request but reads was a RUN that ended */
    uint8_t repeats;    /* the last request was a RUN with this number ... */
    uint8_t sequence;
    uint8_t answer[RUN_ANSWER_BYTES]; /* ... and this answer */
} server;

static uint8_t *put32(uint8_t *to, uint32_t value)
{
    for (uint32_t i = 0; i < 4u; i++)
        *to++ = (uint8_t)(value >> (8u * i));
    return to;
}

static uint32_t get32(const uint8_t *from)
{
    return from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

static void expect(uint8_t *place, uint32_t bytes)
{
    server.place = place;
    server.expected = place == NULL ? 0u : bytes;
    server.written = 0;
}

/* Wait for the first bytes of an image. */
static void expect_image(void)
{
    server.ticks = 0;
    server.first = 0;
    server.count = 0;
#if NETWORK_FETCHES_ROWS
    expect(NULL, 0);
#else
    expect(network_input(server.context), NETWORK_INPUT_BYTES);
#endif
}

/* Forget an image that was begun. A network without memory waits for none. */
static void drop_image(void)
{
    if (server.status != NETWORK_OK)
        return;
#if NETWORK_FETCHES_ROWS
    network_restart(server.context);
#endif
    expect_image();
}

#if NETWORK_FETCHES_ROWS
/* Leave the rows to WRITE, which puts them where the network waits for them. */
static int32_t fetch_rows(void *user, uint8_t *rows, int32_t first, int32_t count)
{
    (void)user;
    if (server.place == rows && server.first == first && server.count == count) {
        expect(NULL, 0); /* RUN has seen that they are complete */
        return NETWORK_OK;
    }
    server.first = first;
    server.count = count;
    expect(rows, (uint32_t)count * NETWORK_ROW_BYTES);
    return NETWORK_NOT_YET;
}
#endif

static uint32_t info(uint8_t *payload, uint32_t length)
{
    static const char texts[] = NETWORK_DIGEST NETWORK_DEVICE;
    if (length != 0u) {
        payload[0] = PROTOCOL_WRONG_LENGTH;
        return 1;
    }
    drop_image();
    server.has_logits = 0;
    uint8_t *to = payload;
    *to++ = PROTOCOL_OK;
    *to++ = PROTOCOL_VERSION;
    *to++ = NETWORK_FETCHES_ROWS ? FLAG_FETCHES_ROWS : 0u;
    to = put32(to, (uint32_t)server.status);
    to = put32(to, port_clock_hz());
    to = put32(to, NETWORK_INPUT_BYTES);
    to = put32(to, NETWORK_ROW_BYTES);
    to = put32(to, NETWORK_NUM_CLASSES);
    to = put32(to, NETWORK_ARENA_BYTES);
    to = put32(to, NETWORK_FAST_ARENA_BYTES);
    to = put32(to, NETWORK_WEIGHTS_BYTES);
    to = put32(to, NETWORK_WEIGHTS_CRC32);
    memcpy(to, texts, sizeof texts - 1u);
    return (uint32_t)(to - payload) + sizeof texts - 1u;
}

/* The offset may repeat what was written, and leaves no gap. */
static uint32_t write_image(uint8_t *payload, uint32_t length)
{
    const uint32_t bytes = length - 4u;
    uint8_t status = PROTOCOL_OK;
    if (length <= 4u) {
        status = PROTOCOL_WRONG_LENGTH;
    } else {
        const uint32_t offset = get32(payload);
        if (offset > server.written || bytes > server.expected - offset) {
            status = PROTOCOL_WRONG_PLACE;
        } else {
            memcpy(server.place + offset, payload + 4, bytes);
            if (offset + bytes > server.written)
                server.written = offset + bytes;
            server.has_logits = 0; /* the image may lie where they were */
        }
    }
    payload[0] = status;
    return 1;
}

static uint32_t run(uint8_t *payload, uint32_t length)
{
    if (length != 0u || server.written < server.expected) {
        payload[0] = length != 0u ? PROTOCOL_WRONG_LENGTH : PROTOCOL_INCOMPLETE;
        return 1;
    }
    port_clock_start();
    const int32_t status = network_run(server.context);
    server.ticks += port_clock_ticks();
    uint8_t *to = payload;
    *to++ = PROTOCOL_OK;
    to = put32(to, (uint32_t)status);
    to = put32(to, (uint32_t)server.first);
    to = put32(to, (uint32_t)server.count);
    to = put32(to, (uint32_t)server.ticks);
    to = put32(to, (uint32_t)(server.ticks >> 32));
    (void)put32(to, port_stack_high_water());
    if (status != NETWORK_NOT_YET)
        expect_image();
    server.has_logits = status == NETWORK_OK;
    return RUN_ANSWER_BYTES;
}

static uint32_t read_logits(uint8_t *payload, uint32_t length)
{
    if (length != 8u) {
        payload[0] = PROTOCOL_WRONG_LENGTH;
        return 1;
    }
    const uint32_t first = get32(payload), count = get32(payload + 4);
    payload[0] = PROTOCOL_OK;
    if (!server.has_logits)
        payload[0] = PROTOCOL_NO_RESULT;
    else if (first > NETWORK_NUM_CLASSES || count > NETWORK_NUM_CLASSES - first ||
             count > (PROTOCOL_PAYLOAD_BYTES - 1u) / 4u)
        payload[0] = PROTOCOL_WRONG_PLACE;
    if (payload[0] != PROTOCOL_OK)
        return 1;
    const int32_t *const logits = network_logits(server.context) + first;
    uint8_t *to = payload + 1;
    for (uint32_t i = 0; i < count; i++)
        to = put32(to, (uint32_t)logits[i]);
    return 1u + 4u * count;
}

/* Carry out a request and put its answer into its place; return the answer's length. */
static uint32_t carry_out(uint8_t type, uint8_t *payload, uint32_t length)
{
    switch (type) {
    case PROTOCOL_INFO:
        return info(payload, length);
    case PROTOCOL_WRITE:
        return write_image(payload, length);
    case PROTOCOL_RUN:
        return run(payload, length);
    case PROTOCOL_READ:
        return read_logits(payload, length);
    default:
        payload[0] = PROTOCOL_UNKNOWN_TYPE;
        return 1;
    }
}

/* Answer a request. All but RUN may be carried out twice; a RUN that is asked for again, because
 * its answer was lost, directly follows itself, and its answer was kept. */
static void answer(void)
{
    const uint8_t type = protocol_type(&server.frame), sequence = protocol_sequence(&server.frame);
    uint8_t *const payload = protocol_payload(&server.frame);
    uint32_t length = protocol_length(&server.frame);
    if ((type & PROTOCOL_ANSWER) != 0)
        return; /* an echo */
    if (type == PROTOCOL_RUN && server.repeats && sequence == server.sequence) {
        memcpy(payload, server.answer, RUN_ANSWER_BYTES);
        length = RUN_ANSWER_BYTES;
    } else {
        length = carry_out(type, payload, length);
        server.repeats = type == PROTOCOL_RUN && length == RUN_ANSWER_BYTES;
        server.sequence = sequence;
        if (server.repeats)
            memcpy(server.answer, payload, RUN_ANSWER_BYTES);
    }
    const uint8_t answered = (uint8_t)(type | PROTOCOL_ANSWER);
    const uint32_t bytes = protocol_encode(&server.frame, answered, sequence, length);
    port_serial_write(server.frame.line, bytes);
}

void serve(struct network_context *context, int32_t status)
{
    server.context = context;
    server.status = status;
    context->hook = NULL;
#if NETWORK_FETCHES_ROWS
    context->fetch_rows = fetch_rows;
#endif
    drop_image();
    for (;;) {
        const int32_t byte = port_serial_read();
        if (byte >= 0 && protocol_receive(&server.frame, (uint8_t)byte))
            answer();
    }
}
