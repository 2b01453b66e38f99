"""Ctrl-C while a program is still importing its parts: one line, exit code 130."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
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
    main_thread = threading.current_thread() is threading.main_thread()
    if ours and main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
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
    return Path(sys.argv[0]).name if sys.argv else ""


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"error: interrupted\n")
    os._exit(INTERRUPTED)
