"""What a section of a page consists of; ``templates/blocks.html`` turns it into HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Text:
    """A paragraph; `quiet` is a remark."""

    text: str
    quiet: bool = False
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Code:
    """Lines for a terminal or a file."""

    text: str
    kind: ClassVar[str] = "code"


@dataclass(frozen=True)
class Table:
    """A table of text.

    Args:
        header: names of the columns.
        rows: cells of each row.
        words: number of leading columns that hold words instead of numbers.
        caption: line above it; empty is none.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    caption: str = ""
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Figure:
    """A chart.

    Args:
        svg: markup that :mod:`mcuformer.report.svg` made.
        caption: what it shows.
        legend: class of the style sheet and name of each kind of mark.
    """

    svg: str
    caption: str
    legend: Sequence[tuple[str, str]] = ()
    kind: ClassVar[str] = "figure"


@dataclass(frozen=True)
class Grid:
    """Columns of blocks, side by side where there is room."""

    columns: Sequence[Sequence[Block]]
    kind: ClassVar[str] = "grid"


@dataclass(frozen=True)
class Part:
    """A piece of a bar: its share of the bar's length in percent, colour, and words for it."""

    percent: float
    colour: str
    text: str


@dataclass(frozen=True)
class Bar:
    """A bar with a name.

    Args:
        name: what it is of.
        parts: its pieces, from the left.
        text: its value in words.
        limit: where a limit lies, in percent of the bar's length; None is nowhere.
    """

    name: str
    parts: Sequence[Part]
    text: str
    limit: float | None = None


@dataclass(frozen=True)
class Bars:
    """Bars below each other, with the colours of their parts."""

    bars: Sequence[Bar]
    legend: Sequence[tuple[str, str]] = ()
    kind: ClassVar[str] = "bars"


@dataclass(frozen=True)
class Picture:
    """A picture with lines below it.

    Args:
        source: a ``data:`` address.
        name: what it shows, for screen readers.
        lines: lines below it.
        right: whether what is said of it is right.
    """

    source: str
    name: str
    lines: Sequence[str]
    right: bool


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side."""

    pictures: Sequence[Picture]
    kind: ClassVar[str] = "gallery"


@dataclass(frozen=True)
class Details:
    """Blocks that are shown when asked for, and not on paper."""

    summary: str
    blocks: Sequence[Block]
    kind: ClassVar[str] = "details"


Block = Text | Code | Table | Figure | Grid | Bars | Gallery | Details


@dataclass(frozen=True)
class Section:
    """A section of a page.

    Args:
        key: its anchor.
        title: its heading.
        blocks: what it consists of.
    """

    key: str
    title: str
    blocks: Sequence[Block]
