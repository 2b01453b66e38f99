"""The computer's side of the serial line, against a board in memory."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fake_board import INFO, FakeBoard

from mcuformer.errors import ConfigError, FirmwareError, ToolMissingError
from oplib.target.frames import ANSWER, Frame, FrameType, Status
from oplib.target.serial_line import BoardClient, open_line

IMAGE = bytes(range(64))


def client_of(board: FakeBoard, retries: int = 3) -> BoardClient:
    return BoardClient(board, "board", 0.01, retries)


def sums(image: bytes) -> np.ndarray:
    return np.array([sum(image[: 6 * index]) for index in range(10)])


@pytest.mark.parametrize("fetches", [False, True])
def test_an_image_is_run(fetches: bool) -> None:
    board = FakeBoard(logits=sums).says(fetches_rows=fetches)
    client = client_of(board)
    info = client.info()
    assert info == board.info
    for image in (IMAGE, bytes(64)):
        result = client.run_image(info, image, 1.0)
        assert result.logits.tolist() == sums(image).tolist()
        assert (result.ticks, result.stack_bytes) == (48_000, 300)
    assert [request.sequence for request in board.asked] == list(range(client.requests))
    assert client.repeated == 0


def test_more_logits_than_a_frame_holds() -> None:
    board = FakeBoard(logits=lambda image: np.arange(1000) ** 2 - 7).says(num_classes=1000)
    client = client_of(board)
    result = client.run_image(client.info(), IMAGE, 1.0)
    assert result.logits.tolist() == [index**2 - 7 for index in range(1000)]


def test_a_lost_answer_is_asked_for_again_and_nothing_runs_twice() -> None:
    """Every answer is lost or damaged the first time."""
    lost: set[int] = set()

    def spoil(number: int, answer: bytes) -> bytes:
        sequence = board.asked[number].sequence
        if sequence in lost:
            return b"noise\0" + answer
        lost.add(sequence)
        return answer[:-3] + b"\0" if sequence % 2 else b""

    board = FakeBoard(logits=sums, spoil=spoil)
    client = client_of(board)
    assert client.run_image(client.info(), IMAGE, 1.0).logits.tolist() == sums(IMAGE).tolist()
    assert board.ran == 1
    assert client.repeated == client.requests == 4
    assert board.asked[::2] == board.asked[1::2]


def test_an_answer_that_comes_late_is_not_another_requests() -> None:
    def spoil(number: int, answer: bytes) -> bytes:
        request = board.asked[number]
        stale = Frame(request.type + ANSWER, (request.sequence - 1) % 256, bytes([Status.OK, 9]))
        return stale.encode() + answer

    board = FakeBoard(logits=sums, spoil=spoil)
    assert client_of(board).info() == INFO


def test_a_line_without_answers() -> None:
    silent = FakeBoard(spoil=lambda number, answer: b"")
    with pytest.raises(FirmwareError, match=r"^board: no answer to INFO in 4 attempts of 0\.01 s"):
        client_of(silent).info()
    damaged = FakeBoard(spoil=lambda number, answer: answer[:-6] + answer[-5:])
    with pytest.raises(FirmwareError, match=r"^board: only damaged answers \(4\) to INFO in 4"):
        client_of(damaged).info()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"status": -4}, "the weights in flash are not those of the code"),
        ({"status": -77}, "unknown status"),
        ({"input_bytes": 72}, "asks for rows that there are not"),
    ],
)
def test_a_board_that_cannot_run(changes: dict[str, Any], line: str) -> None:
    board = FakeBoard().says(fetches_rows=True, **changes)
    client = client_of(board)
    with pytest.raises(FirmwareError, match=line):
        client.run_image(client.info(), IMAGE, 1.0)


def answering(payload: bytes) -> FakeBoard:
    return FakeBoard(
        spoil=lambda number, answer: Frame(FrameType.INFO + ANSWER, 0, payload).encode()
    )


@pytest.mark.parametrize(
    ("payload", "line"),
    [
        (bytes([Status.UNKNOWN_TYPE]), "refuses INFO: UNKNOWN_TYPE"),
        (bytes([200]), "refuses INFO: 200"),
        (b"", "refuses INFO: None"),
        (
            bytes([Status.OK, 2]) + bytes(120),
            r"another version of the protocol \(got 2, expected 1",
        ),
        (bytes([Status.OK]), "another version of the protocol"),
    ],
)
def test_answers_of_another_kind(payload: bytes, line: str) -> None:
    with pytest.raises(FirmwareError, match=line):
        client_of(answering(payload)).info()


def test_an_answer_of_another_length() -> None:
    info = replace(INFO, num_classes=20)  # the board sends ten
    with pytest.raises(FirmwareError, match=r"another length \(got 41 bytes, expected 81\)"):
        client_of(FakeBoard()).run_image(info, IMAGE, 1.0)


@pytest.mark.parametrize(
    ("port", "line"),
    [
        ("/dev/no_such_port", r"^port: cannot be opened: .* \(got /dev/no_such_port, expected a"),
        ("socket://127.0.0.1:1", "^port: cannot be opened: "),
        ("socket://nowhere", "^port: cannot be opened: "),
        ("alt:///dev/null?class=os.system", "^port: no such kind of line"),
        ("/dev/null", "^port: cannot be opened: "),
    ],
)
def test_no_such_port(port: str, line: str) -> None:
    pytest.importorskip("serial")
    with pytest.raises(ConfigError, match=line), open_line(port, 115_200):
        pass


def test_without_pyserial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "serial", None)
    with (
        pytest.raises(ToolMissingError, match=r"pip install 'mcuformer\[serial\]'"),
        open_line("x", 9600),
    ):
        pass
