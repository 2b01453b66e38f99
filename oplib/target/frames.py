"""Frames of the serial line, as ``runtime/port/app/protocol.h`` defines them.

A frame is type, sequence number, length, payload and CRC-32, stuffed by COBS between two zeros.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

VERSION = 1
MAX_PAYLOAD = 240
HEAD, CRC_BYTES = 3, 4
MAX_FRAME = HEAD + MAX_PAYLOAD + CRC_BYTES
ANSWER = 128


class FrameType(IntEnum):
    """Types of requests; an answer's is :data:`ANSWER` more."""

    INFO = 1
    WRITE = 2
    RUN = 3
    READ = 4


class Status(IntEnum):
    """First byte of an answer."""

    OK = 0
    UNKNOWN_TYPE = 1
    WRONG_LENGTH = 2
    WRONG_PLACE = 3
    INCOMPLETE = 4
    NO_RESULT = 5


@dataclass(frozen=True)
class Frame:
    """A request or an answer.

    Args:
        type: a :class:`FrameType`, of an answer :data:`ANSWER` more.
        sequence: number of the request, from 0 to 255.
        payload: at most :data:`MAX_PAYLOAD` bytes.
    """

    type: int
    sequence: int
    payload: bytes = b""

    def encode(self) -> bytes:
        """Return the frame's bytes on the line, from zero to zero."""
        body = bytes([self.type, self.sequence, len(self.payload)]) + self.payload
        return b"\0" + stuffed(body + zlib.crc32(body).to_bytes(CRC_BYTES, "little")) + b"\0"

    @classmethod
    def decode(cls, line: bytes) -> Frame | None:
        """Return the frame that stands between two zeros of the line, or None for anything else."""
        content = unstuffed(line)
        if content is None or len(content) < HEAD + CRC_BYTES:
            return None
        body, crc = content[:-CRC_BYTES], int.from_bytes(content[-CRC_BYTES:], "little")
        if len(body) != HEAD + body[2] or len(content) > MAX_FRAME or zlib.crc32(body) != crc:
            return None
        return cls(body[0], body[1], body[HEAD:])


def stuffed(content: bytes) -> bytes:
    r"""Return less than 255 bytes with each zero as the distance to the next; one more precedes.

    >>> stuffed(b"\x07\x00\x00\x08")
    b'\x02\x07\x01\x02\x08'
    """
    return b"".join(bytes([len(part) + 1]) + part for part in content.split(b"\0"))


def unstuffed(line: bytes) -> bytes | None:
    """Return the inverse of :func:`stuffed`, or None if there is none."""
    parts, at = [], 0
    while at < len(line):
        distance = line[at]
        if distance == 0 or at + distance > len(line):
            return None
        parts.append(line[at + 1 : at + distance])
        at += distance
    return b"\0".join(parts) if parts else None


class FrameReader:
    """Takes bytes as they come and finds the frames in them.

    Args:
        refused: how often something between two zeros was no frame.
    """

    def __init__(self) -> None:
        self.refused = 0
        self._line = b""

    def feed(self, received: bytes) -> Iterator[Frame]:
        """Yield the frames that end in these bytes."""
        *lines, rest = (self._line + received).split(b"\0")
        self._line = rest[: MAX_FRAME + 2]  # one more than fits: too long
        for line in filter(None, lines):
            frame = Frame.decode(line)
            if frame is None:
                self.refused += 1
            else:
                yield frame
