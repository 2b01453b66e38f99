"""Folders that processes share, replace and leave: locks, atomic exchange, what killed runs left.

Whatever is being written has a name that begins with :data:`UNFINISHED`, in the folder where it
will stay. A killed process leaves such names behind; the next one to lock the folder removes them.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mcuformer.errors import ArtifactError

LOCK = ".lock"
UNFINISHED = ".mcuformer-"
REPLACED = f"{UNFINISHED}replaced-"  # what a file system without exchange moves out of the way
EXCHANGE = 2  # RENAME_EXCHANGE of Linux and RENAME_SWAP of macOS
AT_FDCWD = -100  # paths are relative to the working directory


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the operating system's faults while `path` is written into one line.

    Raises:
        ArtifactError: for instance the disk is full, or it cannot be written to.
    """
    try:
        yield
    except OSError as error:
        raise ArtifactError(f"cannot be written: {error.strerror or error}", where=path) from error


@contextmanager
def locked(directory: Path, *, wait: bool, notes: Sequence[str] = ()) -> Iterator[None]:
    """Hold the lock of a directory, which is created if it is missing.

    What killed processes left in it is removed. A new directory in which nothing was written is
    removed again. The kernel releases the lock when the process ends, however it ends.

    Args:
        directory: directory to lock.
        wait: whether to wait while another process holds the lock, instead of failing.
        notes: names of files that are not worth a directory.

    Raises:
        ArtifactError: another process holds the lock, or the directory cannot be created.
    """
    absent = [path for path in (directory, *directory.parents) if not path.exists()]
    try:
        handle = _acquire(directory, wait=wait)
    except BlockingIOError as error:
        raise ArtifactError("in use by another process", where=directory) from error
    except OSError as error:
        raise ArtifactError(f"cannot be used: {error.strerror}", where=directory) from error
    try:
        clear_unfinished(directory)
        yield
    finally:
        if absent:
            _remove_unused(directory, absent, {LOCK, *notes})
        os.close(handle)


def _acquire(directory: Path, *, wait: bool) -> int:
    """Return the open lock file of a directory, held.

    Raises:
        OSError: the file cannot be opened, or another process holds it.
    """
    while True:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / LOCK
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            # its holder may have removed an unused directory while this process waited
            if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except OSError:
            os.close(handle)
            raise
        os.close(handle)


def _remove_unused(directory: Path, created: list[Path], notes: Collection[str]) -> None:
    """Remove a locked directory, and the parents created with it, unless more is in them."""
    contents = [path for path in directory.rglob("*") if not path.is_dir()]
    if any(path.parent != directory or path.name not in notes for path in contents):
        return
    with suppress(OSError):
        shutil.rmtree(directory)
        for parent in created[1:]:
            parent.rmdir()


def clear_unfinished(directory: Path) -> None:
    """Remove what killed processes left in a locked directory, and finish exchanges they began.

    Directories inside that have a lock of their own are left to those who hold it.
    """
    for folder, names, files in os.walk(directory):
        inside = Path(folder)
        for name in [name for name in (*names, *files) if name.startswith(UNFINISHED)]:
            path = inside / name
            original = inside / name.removeprefix(REPLACED)
            if name.startswith(REPLACED) and not original.exists():
                os.replace(path, original)
            else:
                _remove(path)
        names[:] = [
            name
            for name in names
            if not name.startswith(UNFINISHED) and not (inside / name / LOCK).exists()
        ]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


@contextmanager
def replacing_directory(path: Path) -> Iterator[Path]:
    """Yield an empty directory that takes the place of `path` at the end; removed on an error.

    The exchange is one step, so that there is always a whole directory: the old or the new one. On
    a file system without such a step, a process killed between two renames leaves the old one under
    another name, and :func:`clear_unfinished` puts it back.

    Raises:
        ArtifactError: the disk is full, or cannot be written to.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=UNFINISHED))
    try:
        with writing(path):
            yield temporary
            os.chmod(temporary, 0o755)
            if not path.exists():
                os.replace(temporary, path)
            elif exchange(temporary, path):
                shutil.rmtree(temporary)
            else:
                aside = path.with_name(REPLACED + path.name)
                os.replace(path, aside)
                os.replace(temporary, path)
                shutil.rmtree(aside)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def exchange(first: Path, second: Path) -> bool:
    """Exchange two paths in one step; return False where system or file system cannot."""
    library = ctypes.CDLL(None, use_errno=True)
    paths = os.fsencode(first), os.fsencode(second)
    if sys.platform == "darwin":
        return bool(library.renamex_np(*paths, EXCHANGE) == 0)
    if not hasattr(library, "renameat2"):
        return False
    return bool(library.renameat2(AT_FDCWD, paths[0], AT_FDCWD, paths[1], EXCHANGE) == 0)
