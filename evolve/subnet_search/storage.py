"""Storages of studies: a journal file, safe against killed processes, or a database."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from mcuformer.errors import ArtifactError, BudgetError
from mcuformer.run.folder import writing


class KernelLock(JournalFileOpenLock):
    """Optuna's lock of a journal, held by the kernel: it ends with the process that holds it.

    Optuna's own locks are files, which a killed process leaves behind and others then wait for.
    """

    def __init__(self, filepath: str) -> None:
        super().__init__(filepath)
        self.path, self.handle = filepath, -1

    def acquire(self) -> bool:
        """Wait for the lock."""
        self.handle = os.open(self.path, os.O_RDWR)
        fcntl.flock(self.handle, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        """Give the lock back."""
        os.close(self.handle)


def is_database(location: str) -> bool:
    """Return whether a location is the address of a database, and not a path."""
    return "://" in location


def open_storage(location: str) -> BaseStorage:
    """Open a journal, which is created if it is missing, or a database.

    An incomplete last line of a journal, which a killed process may leave in it, is cut.

    Raises:
        Exception: the storage is damaged elsewhere; it is left as it is.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if is_database(location):
        return optuna.storages.RDBStorage(location)
    path = Path(location)
    path.parent.mkdir(parents=True, exist_ok=True)
    torn = cut_torn_line(path)
    try:
        lock = KernelLock(str(path))
        return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    except Exception:
        with path.open("ab") as file:
            file.write(torn)
        raise


def cut_torn_line(path: Path) -> bytes:
    """Cut an incomplete last line; return it.

    Raises:
        ValueError: another line is not JSON; nothing is cut.
    """
    with path.open("ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        *lines, torn = file.read().split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error
        if torn:
            file.truncate(file.tell() - len(torn))
    return torn


@contextmanager
def faults_in_one_line(location: str) -> Iterator[None]:
    """Turn whatever Optuna raises about a storage into one line.

    Raises:
        ArtifactError: the storage is damaged, or cannot be read or written.
        BudgetError: as it was raised.
    """
    try:
        with nullcontext() if is_database(location) else writing(Path(location)):
            yield
    except (ArtifactError, BudgetError):
        raise
    except Exception as error:  # Optuna trusts its storage: damage shows as any exception
        raise ArtifactError(
            f"damaged: {type(error).__name__}: {error}; remove it to evaluate anew", where=location
        ) from error
