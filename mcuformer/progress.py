"""Progress with the time left: a live bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any, TypeVar

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


def say(text: str) -> None:
    """Print one line to the terminal (standard error), without markup."""
    console.print(text, markup=False, soft_wrap=True)


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield from `items`, showing how many are done and the time left.

    Args:
        items: what to iterate over.
        description: shown in front.
        total: number of items where `items` has no length.
    """
    count = len(items) if isinstance(items, Sized) and total is None else total
    if not console.is_terminal:
        yield from _track_plainly(items, description, count)
        return
    columns: tuple[Any, ...] = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield from progress.track(items, description=description, total=count)


def _track_plainly(items: Iterable[T], description: str, count: int | None) -> Iterator[T]:
    started = told = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if done and count and now - told > PLAIN_INTERVAL_SECONDS:
            left = (now - started) / done * (count - done)
            say(f"{description}: {done} of {count}, about {left:.0f} s left")
            told = now
        yield item
