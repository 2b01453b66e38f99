"""Temporary folders that do not outlive their process, however it ends."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "mcuformer-scratch-"


@contextmanager
def scratch(purpose: str) -> Iterator[Path]:
    """Yield a new temporary folder, which is removed at the end.

    A process holds the lock of its folder. Folders that nobody holds are left from killed
    processes, and are removed first. A folder may lose its life between its creation and its lock,
    to another process that clears at the same moment; then a new one is made.

    Args:
        purpose: word in the folder's name.

    Raises:
        OSError: the temporary directory is full or not writable.
    """
    base = Path(tempfile.gettempdir())
    _clear(base)
    folder, handle = _locked_folder(base, purpose)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _locked_folder(base: Path, purpose: str) -> tuple[Path, int]:
    """Return a new folder under `base` and the handle that locks it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{purpose}-", dir=base))
        handle = _lock(folder)
        if handle is not None and folder.exists():
            return folder, handle
        if handle is not None:
            os.close(handle)


def _lock(folder: Path) -> int | None:
    """Return the handle that locks a folder; None if it is gone, or held by another process."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _clear(base: Path) -> None:
    """Remove this user's folders under `base` that no process holds."""
    for folder in base.glob(f"{PREFIX}*"):
        handle = _lock(folder)
        if handle is not None:
            if os.fstat(handle).st_uid == os.getuid():
                shutil.rmtree(folder, ignore_errors=True)
            os.close(handle)
