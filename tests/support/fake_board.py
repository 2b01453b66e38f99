"""A board in Python, on a line in memory: it answers as serve.c does, or as a test wants."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from oplib.target.frames import ANSWER, Frame, FrameReader, FrameType, Status
from oplib.target.serial_line import BoardInfo

INFO = BoardInfo(
    fetches_rows=False,
    status=0,
    clock_hz=24_000_000,
    input_bytes=64,
    row_bytes=8,
    num_classes=10,
    arena_bytes=1000,
    fast_arena_bytes=0,
    weights_bytes=5000,
    weights_crc32=0,
    digest="d" * 64,
    device="stm32f100",
)
Spoil = Callable[[int, bytes], bytes]


@dataclass
class FakeBoard:
    """A line with a board at its end.

    Args:
        info: what it says of itself.
        logits: what it computes of the bytes of an image.
        spoil: what becomes of an answer on its way, by its number and its bytes.
        strip: rows that it asks for at once, if it asks for rows.
        asked: the requests that reached it.
        ran: how many images it computed.
    """

    info: BoardInfo = INFO
    logits: Callable[[bytes], np.ndarray] = lambda image: np.arange(10)
    spoil: Spoil = lambda number, answer: answer
    strip: int = 2
    asked: list[Frame] = field(default_factory=list)
    ran: int = 0

    def __post_init__(self) -> None:
        self._reader, self._sent, self._image = FrameReader(), b"", bytearray()
        self._result = np.zeros(0, np.int32)
        self._last: tuple[Frame, bytes] | None = None

    @property
    def in_waiting(self) -> int:
        return len(self._sent)

    def read(self, size: int) -> bytes:
        taken, self._sent = self._sent[:size], self._sent[size:]
        return taken

    def write(self, data: bytes) -> int:
        for request in self._reader.feed(data):
            if self._last is None or self._last[0] != request or request.type != FrameType.RUN:
                self._last = request, self._payload(request)
            answer = Frame(request.type + ANSWER, request.sequence, self._last[1])
            self.asked.append(request)
            self._sent += self.spoil(len(self.asked) - 1, answer.encode())
        return len(data)

    def says(self, **changes: object) -> FakeBoard:
        """Return a board that says something else of itself."""
        return replace(self, info=replace(self.info, **changes))

    def _payload(self, request: Frame) -> bytes:
        info = self.info
        match request.type:
            case FrameType.INFO:
                self._image.clear()
                sizes = (info.input_bytes, info.row_bytes, info.num_classes, info.arena_bytes)
                sizes += (info.fast_arena_bytes, info.weights_bytes, info.weights_crc32)
                head = struct.pack("<BBBi", Status.OK, 1, info.fetches_rows, info.status)
                head += struct.pack("<8I", info.clock_hz, *sizes)
                return head + (info.digest + info.device).encode()
            case FrameType.WRITE:
                offset = int.from_bytes(request.payload[:4], "little")
                begin = len(self._image) // self._piece * self._piece
                self._image[begin + offset :] = request.payload[4:]
                return bytes([Status.OK])
            case FrameType.RUN:
                return self._run()
        first, count = struct.unpack("<II", request.payload)
        return bytes([Status.OK]) + self._result[first : first + count].astype("<i4").tobytes()

    @property
    def _piece(self) -> int:
        """Bytes that are written between two RUNs."""
        rows = self.info.row_bytes * self.strip
        return rows if self.info.fetches_rows else self.info.input_bytes

    def _run(self) -> bytes:
        status, first, count = 0, 0, 0
        if len(self._image) < self.info.input_bytes:
            status, first, count = 1, len(self._image) // self.info.row_bytes, self.strip
        else:
            self._result = self.logits(bytes(self._image))
            self._image.clear()
            self.ran += 1
        return struct.pack("<BiiiQI", Status.OK, status, first, count, 48_000, 300)
