"""Frames of the serial line: Python and C take the same ones, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oplib.codegen.runtime import RUNTIME
from oplib.target.frames import ANSWER, MAX_PAYLOAD, Frame, FrameReader, FrameType, Status

APP = RUNTIME / "port" / "app"
HARNESS = Path(__file__).parents[1] / "runtime" / "protocol.c"
SANITIZE = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover"]
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
Program = Callable[[bytes], bytes]
FRAMES = st.builds(Frame, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=MAX_PAYLOAD))


@pytest.fixture(scope="session", params=["gcc", "clang"])
def in_c(
    host_tools: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Program:
    """Return the parser and the encoder in C, under sanitizers: from a line's bytes to frames."""
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} not found")
    program = tmp_path_factory.mktemp("protocol") / "protocol"
    crc = RUNTIME / "support" / "crc32.c"
    sources = [str(source) for source in (HARNESS, APP / "protocol.c", crc)]
    include = [f"-I{APP}", f"-I{RUNTIME / 'include'}"]
    command = [request.param, *STRICT, *SANITIZE, *include, *sources, "-o", str(program)]
    subprocess.run(command, check=True)

    def call(received: bytes) -> bytes:
        return subprocess.run([program], input=received, check=True, stdout=subprocess.PIPE).stdout

    return call


def in_python(received: bytes) -> bytes:
    return b"".join(frame.encode() for frame in FrameReader().feed(received))


def test_frames_by_hand() -> None:
    """The CRC-32 are those of zlib; zeros become distances."""
    crc = bytes.fromhex("25b383fe")
    assert Frame(FrameType.INFO, 0).encode() == b"\0\x02\x01\x01\x05" + crc + b"\0"
    answer = Frame(FrameType.WRITE + ANSWER, 7, bytes([Status.OK]))
    crc = bytes.fromhex("6886407a")
    assert answer.encode() == b"\0\x04\x82\x07\x01\x05" + crc + b"\0"


@given(st.lists(FRAMES, max_size=5), st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_frames_come_back_however_they_are_cut(frames: list[Frame], sizes: list[int]) -> None:
    line, reader, found = b"".join(frame.encode() for frame in frames), FrameReader(), []
    assert line.count(0) == 2 * len(frames)
    while line:
        for size in sizes:
            found += reader.feed(line[:size])
            line = line[size:]
    assert found == frames
    assert reader.refused == 0


@given(st.binary(max_size=2000))
def test_any_bytes_are_read(received: bytes) -> None:
    """No frame is taken from noise: its CRC would have to be right by chance."""
    reader = FrameReader()
    assert list(reader.feed(received)) == []
    assert reader.refused == len([part for part in received.split(b"\0")[:-1] if part])


@settings(max_examples=50)
@given(st.lists(st.one_of(FRAMES.map(Frame.encode), st.binary(max_size=300)), max_size=20))
def test_python_and_c_agree(in_c: Program, parts: list[bytes]) -> None:
    received = b"".join(parts)
    assert in_c(received) == in_python(received)


def test_a_frame_that_is_too_long_is_dropped(in_c: Program) -> None:
    """By one byte and by many; the next one is taken."""
    follower = Frame(FrameType.RUN, 9).encode()
    for excess in (1, 2, 300):
        body = bytes([1, 2, 3]) * 300
        received = b"\0" + body[: MAX_PAYLOAD + 8 + excess] + follower
        assert in_c(received) == in_python(received) == follower


def test_a_hundred_thousand_damaged_frames(in_c: Program, rng: np.random.Generator) -> None:
    """What is taken are sent frames: those that the damage spared, and no others."""
    lengths = np.minimum(rng.geometric(0.02, 2000), MAX_PAYLOAD)
    frames = [
        Frame(
            int(kind), index % 256, (rng.integers(0, 256, size) * (kind % 2)).astype("u1").tobytes()
        )
        for index, (kind, size) in enumerate(zip(rng.integers(0, 256, 2000), lengths, strict=True))
    ]
    sent = [frame.encode() for frame in frames]
    received = [damaged(sent[index % 2000], rng) for index in range(100_000)]
    taken = in_c(b"".join(received))
    assert taken == in_python(b"".join(received))
    assert {part for part in taken.split(b"\0") if part} <= {line.strip(b"\0") for line in sent}
    spared = sum(line in sent_set for sent_set in [set(sent)] for line in received)
    assert 5_000 < spared < 50_000
    assert spared * 0.8 < taken.count(0) / 2 < spared * 1.5


def damaged(line: bytes, rng: np.random.Generator) -> bytes:
    """Return a frame as a bad line passes it on; one in six is spared."""
    values, kind = bytearray(line), int(rng.integers(6))
    place = int(rng.integers(len(values)))
    if kind == 1:
        values[place] = int(rng.integers(256))
    elif kind == 2:
        del values[place:]
    elif kind == 3:
        del values[place]
    elif kind == 4:
        values[place:place] = rng.integers(0, 256, int(rng.integers(1, 30))).astype("u1").tobytes()
    elif kind == 5:
        values[place] ^= 1 << int(rng.integers(8))
    return bytes(values)
