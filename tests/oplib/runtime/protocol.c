/* Takes the bytes of the standard input from a line, and writes the frames in them as they are sent. */
#include "protocol.h"

#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    struct protocol_frame *const frame = calloc(1, sizeof *frame); /* a byte beyond is noticed */
    if (frame == NULL)
        return 1;
    for (int byte = getchar(); byte != EOF; byte = getchar()) {
        if (!protocol_receive(frame, (uint8_t)byte))
            continue;
        const uint8_t type = protocol_type(frame), sequence = protocol_sequence(frame);
        const uint32_t bytes = protocol_encode(frame, type, sequence, protocol_length(frame));
        if (fwrite(frame->line, 1, bytes, stdout) != bytes)
            return 1;
    }
    free(frame);
    return 0;
}
