"""Progress and remaining time: a live bar on a terminal, otherwise a line every ten seconds."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sized
from types import TracebackType
from typing import Any, Self, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

console = Console(stderr=True, highlight=False)
PLAIN_INTERVAL_SECONDS = 10.0
T = TypeVar("T")


def process_rank() -> int:
    """Return the rank that torchrun gave this process; 0 without torchrun."""
    return int(os.environ.get("RANK", "0"))


def process_count() -> int:
    """Return the number of processes that torchrun started; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def say(text: str) -> None:
    """Print one line to standard error, without markup; only the first process prints."""
    if process_rank() == 0:
        console.print(text, markup=False, soft_wrap=True)


def silence() -> None:
    """Print no line of progress from this process any more."""
    console.quiet = True


def duration(seconds: float) -> str:
    """Return a duration in words.

    >>> duration(59.6), duration(200), duration(7300)
    ('60 s', '3 min', '2.0 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


class Meter:
    """A display of the completed part of a known total, and of the remaining time.

    Args:
        description: text before the numbers.
        total: number of units.
        done: number of units completed before, by an interrupted run.
    """

    def __init__(self, description: str, total: int, done: int = 0) -> None:
        self.description, self.total = description, total
        self.first, self.done = done, done
        self.started = self.last_printed = time.monotonic()
        columns: tuple[Any, ...] = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        live = console.is_terminal and process_rank() == 0
        self.bar = Progress(*columns, console=console, transient=True) if live else None

    def __enter__(self) -> Self:
        if self.bar is not None:
            self.bar.start()
            self.bar.add_task(self.description, total=self.total, completed=self.done)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    @property
    def seconds_left(self) -> float:
        """Remaining time in seconds, at the average pace so far."""
        pace = (time.monotonic() - self.started) / max(1, self.done - self.first)
        return pace * (self.total - self.done)

    def update(self, done: int) -> None:
        """Show that `done` units are done, which may be fewer than before."""
        self.first = min(self.first, done)
        self.done = done
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=done)
            return
        now = time.monotonic()
        if done > self.first and now - self.last_printed > PLAIN_INTERVAL_SECONDS:
            remaining = duration(self.seconds_left)
            say(f"{self.description}: {done} of {self.total}, about {remaining} left")
            self.last_printed = now


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield from `items`, showing the number completed and the remaining time.

    Args:
        items: items to iterate over.
        description: text before the numbers.
        total: number of items, for `items` without a length.
    """
    count = len(items) if isinstance(items, Sized) and total is None else total
    with Meter(description, count or 0) as meter:
        for done, item in enumerate(items):
            meter.update(done)
            yield item
