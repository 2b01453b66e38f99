"""Ctrl-C during the imports of a command ends it quietly; other programs are left alone."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from mcuformer import interrupt


@pytest.fixture(autouse=True)
def restored() -> None:
    yield
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize(
    ("started", "guarded"),
    [
        (["python", "-m", "evolve.space", "seed=1"], True),
        (["python", "-X", "dev", "-m", "mcuformer"], True),
        (["/usr/bin/mcuformer"], True),
        (["python", "-m", "pytest", "evolve"], False),
        (["python", "mine.py", "-m"], False),
    ],
)
def test_only_our_commands_are_guarded(
    monkeypatch: pytest.MonkeyPatch, started: list[str], guarded: bool
) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(sys, "orig_argv", started)
    monkeypatch.setattr(sys, "argv", [started[0] if len(started) == 1 else "mine.py"])
    interrupt.guard_imports()
    assert (signal.getsignal(signal.SIGINT) is not signal.default_int_handler) == guarded
    interrupt.imports_done()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_guard_ends_the_process_in_one_line(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writing, 2)
        sys.orig_argv = ["python", "-m", "evolve.space"]
        signal.signal(signal.SIGINT, signal.default_int_handler)
        interrupt.guard_imports()
        os.kill(os.getpid(), signal.SIGINT)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 130
    assert os.read(reading, 100) == b"error: interrupted\n"
