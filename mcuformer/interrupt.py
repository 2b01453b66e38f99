"""Ctrl-C while a program is still importing its parts: one line, exit code 130."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

PROGRAMS = ("mcuformer", "evolve", "supernet", "oplib")
INTERRUPTED = 130


def guard_imports() -> None:
    """End the process quietly on Ctrl-C until :func:`imports_done`.

    Only in a process that was started as one of our commands: a program that merely imports us
    keeps its own handling. An exception would not do, since extension modules turn one that is
    raised during their import into an ImportError.
    """
    ours = _module().partition(".")[0] in PROGRAMS
    if ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def imports_done() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _module() -> str:
    """Return the name of the module or of the script that Python was started with."""
    arguments = sys.orig_argv
    if "-m" in arguments[:-1]:
        return arguments[arguments.index("-m") + 1]
    return os.path.basename(sys.argv[0]) if sys.argv else ""


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"error: interrupted\n")
    os._exit(INTERRUPTED)
