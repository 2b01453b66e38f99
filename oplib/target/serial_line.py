"""Ask a board over a serial line to run images; ``runtime/port/app/serve.c`` answers.

The line may lose, change and add bytes. A request is asked again until its answer is whole, and the
board carries none out twice.
"""

from __future__ import annotations

import math
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mcuformer.errors import ConfigError, FirmwareError, ToolMissingError
from oplib.ops.base import Array
from oplib.target.frames import ANSWER, MAX_PAYLOAD, VERSION, Frame, FrameReader, FrameType, Status

URL_SCHEMES = ("socket://", "rfc2217://")  # of pyserial's, those that are lines to a board
WRITE_SECONDS = 10.0  # until a line that takes no byte is given up
CHUNK = MAX_PAYLOAD - 4
LOGITS_AT_ONCE = (MAX_PAYLOAD - 1) // 4
INFO = struct.Struct("<BBBi8I64s")
RUN = struct.Struct("<BiiiQI")
FETCHES_ROWS = 1
OK, NOT_YET = 0, 1
FAULTS = {
    -1: "the network is not initialised",
    -2: "the arena is too small",
    -3: "the arena is not aligned",
    -4: "the weights in flash are not those of the code",
    -7: "the self-test failed",
}


class Line(Protocol):
    """What this module needs of pyserial's ports."""

    @property
    def in_waiting(self) -> int:
        """Number of bytes that have come."""

    def read(self, size: int) -> bytes:
        """Return up to so many bytes, at once or after the port's timeout."""

    def write(self, data: bytes) -> int | None:
        """Send bytes."""


@dataclass(frozen=True)
class BoardInfo:
    """What a board says of itself and of its network; sizes are in bytes.

    Args:
        fetches_rows: whether it asks for the image in strips of rows.
        status: what the network's initialisation returned.
        clock_hz: ticks per second; 0 of an emulated board, whose ticks count instructions.
        input_bytes: the image.
        row_bytes: a row of it.
        num_classes: logits.
        arena_bytes: the arena.
        fast_arena_bytes: the arena in fast memory.
        weights_bytes: the weights.
        weights_crc32: their CRC-32, which the code expects.
        digest: name of the network, 64 hexadecimal digits.
        device: name of the device that it was exported for.
    """

    fetches_rows: bool
    status: int
    clock_hz: int
    input_bytes: int
    row_bytes: int
    num_classes: int
    arena_bytes: int
    fast_arena_bytes: int
    weights_bytes: int
    weights_crc32: int
    digest: str
    device: str

    @property
    def emulated(self) -> bool:
        """Whether this is no real board."""
        return self.clock_hz == 0


@dataclass(frozen=True)
class BoardRun:
    """What a board computed of an image.

    Args:
        logits: int32 logits (K,).
        ticks: clock ticks that the network took, without waiting for rows of the image.
        stack_bytes: largest stack of the program so far.
    """

    logits: Array
    ticks: int
    stack_bytes: int


@contextmanager
def open_line(port: str, baud: int) -> Iterator[Line]:
    """Open a serial port, or what stands for one.

    Args:
        port: name of a device, for instance ``/dev/ttyACM0``, or a URL of :data:`URL_SCHEMES`.
        baud: bits per second.

    Raises:
        ToolMissingError: pyserial is not installed.
        ConfigError: there is no such port, or it cannot be opened.
        FirmwareError: the line broke while it was used.
    """
    try:
        import serial
    except ImportError as error:
        raise ToolMissingError(
            "pyserial is not installed; pip install 'mcuformer[serial]'"
        ) from error
    expected = "a serial port such as /dev/ttyACM0, or socket://HOST:PORT"
    if "://" in port and not port.startswith(URL_SCHEMES):
        raise ConfigError("no such kind of line", where="port", got=port, expected=expected)
    try:
        line = serial.serial_for_url(port, baudrate=baud, write_timeout=WRITE_SECONDS)
    except (OSError, ValueError) as error:  # pyserial's own fault is an OSError
        code = getattr(error, "errno", None)
        reason = os.strerror(code) if code else str(error).partition(";")[0]
        raise ConfigError(
            f"cannot be opened: {reason}", where="port", got=port, expected=expected
        ) from error
    try:
        with line:
            line.timeout = 0.01
            yield line
    except serial.SerialTimeoutException as error:
        raise FirmwareError("the line takes no bytes", where=port) from error
    except serial.SerialException as error:
        raise FirmwareError(f"the line broke: {error}", where=port) from error


class BoardClient:
    """Sends requests to a board, one after the other, and waits for their answers.

    Args:
        line: the open line.
        name: its name, for messages.
        timeout: seconds until a request is asked again.
        retries: number of times that it is.
        repeated: how many requests were asked again.
        requests: how many there were.
    """

    def __init__(self, line: Line, name: str, timeout: float, retries: int) -> None:
        self.line, self.name, self.timeout, self.retries = line, name, timeout, retries
        self.requests = self.repeated = 0
        self._reader = FrameReader()

    @property
    def refused(self) -> int:
        """How often something came that was no frame."""
        return self._reader.refused

    def ask(self, kind: FrameType, payload: bytes = b"", patience: float = 0.0) -> bytes:
        """Return the payload of the answer to a request.

        Args:
            kind: type of the request.
            payload: its payload.
            patience: seconds that the board may take to carry it out.

        Raises:
            FirmwareError: no answer came, only damaged ones, or the board refuses the request.
        """
        request = Frame(kind, self.requests % 256, payload)
        self.requests += 1
        damaged = self.refused
        attempts = 1 + self.retries + math.ceil(patience / self.timeout)
        for attempt in range(attempts):
            self.repeated += attempt > 0
            self.line.write(request.encode())
            answer = self._answer_to(request)
            if answer is not None:
                return self._accepted(kind, answer)
        if self.refused > damaged:
            what = f"only damaged answers ({self.refused - damaged}) to"
        else:
            what = "no answer to"
        raise FirmwareError(
            f"{what} {kind.name} in {attempts} attempts of {self.timeout:g} s; is a program that "
            "serves running there, at the same baud rate?",
            where=self.name,
        )

    def _answer_to(self, request: Frame) -> Frame | None:
        """Return the answer that comes within the timeout, if any does; drop all others."""
        end = time.monotonic() + self.timeout
        while time.monotonic() < end:
            for frame in self._reader.feed(self.line.read(self.line.in_waiting or 1)):
                if (frame.type, frame.sequence) == (request.type + ANSWER, request.sequence):
                    return frame
        return None

    def _accepted(self, kind: FrameType, answer: Frame) -> bytes:
        status = answer.payload[0] if answer.payload else None
        if status != Status.OK:
            known = status in set(Status)
            reason = Status(status).name if known and status is not None else status
            raise FirmwareError(
                f"the board refuses {kind.name}: {reason}; was it reset?", where=self.name
            )
        return answer.payload

    def info(self) -> BoardInfo:
        """Return what the board says of itself; it drops an image that was begun.

        Raises:
            FirmwareError: it does not answer, speaks another version, or its network cannot run.
        """
        answer = self.ask(FrameType.INFO)
        if len(answer) < INFO.size or answer[1] != VERSION:
            got = answer[1] if len(answer) > 1 else "none"
            raise FirmwareError(
                "another version of the protocol", where=self.name, got=got, expected=VERSION
            )
        _, _, flags, status, *sizes, name = INFO.unpack_from(answer)
        texts = (text.decode("ascii", "replace") for text in (name, answer[INFO.size :]))
        info = BoardInfo(bool(flags & FETCHES_ROWS), status, *sizes, *texts)
        self._refuse_fault(status)
        return info

    def _refuse_fault(self, status: int) -> None:
        if status < OK:
            raise FirmwareError(
                f"the network does not run: {FAULTS.get(status, 'unknown status')}",
                where=self.name,
                got=status,
            )

    def run_image(self, info: BoardInfo, image: bytes, patience: float) -> BoardRun:
        """Let the board run one image.

        Args:
            info: what the board said of itself.
            image: raw pixels, `info.input_bytes` of them.
            patience: seconds that the network may take.

        Raises:
            FirmwareError: it does not answer, or its network fails.
        """
        if not info.fetches_rows:
            self._write(image)
        status = NOT_YET
        for _ in range(1 + info.input_bytes // info.row_bytes):
            _, status, first, count, ticks, stack = self._unpacked(
                RUN, self.ask(FrameType.RUN, patience=patience)
            )
            self._refuse_fault(status)
            if status == OK:
                return BoardRun(self._logits(info.num_classes), ticks, stack)
            begin, end = first * info.row_bytes, (first + count) * info.row_bytes
            if not 0 <= begin < end <= len(image):
                break
            self._write(image[begin:end])
        raise FirmwareError("the board asks for rows that there are not", where=self.name)

    def _write(self, pixels: bytes) -> None:
        for offset in range(0, len(pixels), CHUNK):
            self.ask(
                FrameType.WRITE, offset.to_bytes(4, "little") + pixels[offset : offset + CHUNK]
            )

    def _logits(self, num_classes: int) -> Array:
        """Return the logits of the image that was run last."""
        parts = []
        for first in range(0, num_classes, LOGITS_AT_ONCE):
            count = min(LOGITS_AT_ONCE, num_classes - first)
            answer = self.ask(FrameType.READ, struct.pack("<II", first, count))
            parts.append(self._unpacked(struct.Struct(f"<B{count}i"), answer)[1:])
        return np.concatenate(parts).astype(np.int32)

    def _unpacked(self, form: struct.Struct, answer: bytes) -> tuple[Any, ...]:
        if len(answer) != form.size:
            raise FirmwareError(
                "an answer of another length",
                where=self.name,
                got=f"{len(answer)} bytes",
                expected=form.size,
            )
        return form.unpack(answer)
