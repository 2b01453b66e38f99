"""Charts as inline SVG: text stays text, colours come from the page's style sheet.

Every chart is an image to a screen reader, with a title and a description. Coordinates have one
decimal, and points of one kind are one path, so that ten thousand take less than 200 KB.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, HEIGHT = 360, 240
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 26, 40
TICKS = 5
Point = tuple[float, float]


def element(name: str, *children: str, **attributes: object) -> str:
    """Return an element; `children` are markup, attributes are escaped.

    >>> element("text", escape("a < b"), class_="tick", x=1.25)
    '<text class="tick" x="1.2">a &lt; b</text>'
    """
    parts = []
    for key, value in attributes.items():
        text = f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
        parts.append(f' {key.rstrip("_").replace("_", "-")}="{escape(text)}"')
    return f"<{name}{''.join(parts)}>{''.join(children)}</{name}>"


def number(value: float) -> str:
    """Return a number of a tick or a table: no more digits than it needs.

    >>> number(1234567.0), number(0.25), number(98.0), number(0.0001)
    ('1,234,567', '0.25', '98', '0.0001')
    """
    if value == round(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


@dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high`.

    Args:
        label: what it shows, with its unit.
        low: value at its beginning.
        high: value at its end.
        ticks: values with a label; None chooses round ones.
        names: label of each tick; None takes the numbers.
    """

    label: str
    low: float
    high: float
    ticks: Sequence[float] | None = None
    names: Sequence[str] | None = None

    @classmethod
    def of(cls, label: str, values: Iterable[float], *, zero: bool = False) -> Axis:
        """Return an axis that holds all values, with a margin; `zero` begins it at zero."""
        known = list(values) or [0.0, 1.0]
        low, high = min(known), max(known)
        margin = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
        return cls(label, 0.0 if zero and low >= 0 else low - margin, high + margin)

    def share(self, value: float) -> float:
        """Return where a value lies, from 0 to 1."""
        return (value - self.low) / (self.high - self.low)

    def marks(self) -> list[tuple[float, str]]:
        """Return the ticks and their labels."""
        values = round_ticks(self.low, self.high) if self.ticks is None else list(self.ticks)
        names = list(map(number, values)) if self.names is None else list(self.names)
        return list(zip(values, names, strict=True))


def round_ticks(low: float, high: float) -> list[float]:
    """Return up to six round values between two.

    >>> round_ticks(0.0, 97.0), round_ticks(96.2, 97.1)
    ([0.0, 20.0, 40.0, 60.0, 80.0], [96.2, 96.4, 96.6, 96.8, 97.0])
    """
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 10) for index in range(first, last + 1)]


@dataclass
class Chart:
    """A chart with two axes.

    Args:
        title: what it shows, for screen readers.
        description: what is to be seen, for screen readers.
        x: horizontal axis.
        y: vertical axis.
        height: height in units of which the width has 360.
    """

    title: str
    description: str
    x: Axis
    y: Axis
    height: int = HEIGHT
    parts: list[str] = field(default_factory=list)

    def at(self, x: float, y: float) -> Point:
        """Return the position of a value."""
        across = LEFT + self.x.share(x) * (WIDTH - LEFT - RIGHT)
        return across, self.height - BOTTOM - self.y.share(y) * (self.height - TOP - BOTTOM)

    def dots(self, points: Iterable[Point], kind: str) -> None:
        """Draw points of one kind; those at one place are drawn once."""
        places = dict.fromkeys(_place(*self.at(*point)) for point in points)
        if places:
            path = "".join(f"M{place}h0" for place in places)
            self.parts.append(element("path", class_=f"dots {kind}", d=path))

    def ring(self, x: float, y: float, kind: str = "chosen") -> None:
        """Draw a ring around a point."""
        across, down = self.at(x, y)
        self.parts.append(element("circle", class_=f"ring {kind}", cx=across, cy=down, r=7.5))

    def line(self, points: Sequence[Point], kind: str) -> None:
        """Draw a line through points."""
        if points:
            path = "M" + "L".join(_place(*self.at(*point)) for point in points)
            self.parts.append(element("path", class_=f"line {kind}", d=path))

    def steps(self, points: Sequence[Point], kind: str) -> None:
        """Draw a line that goes from each point right, then up or down to the next."""
        corners = [(x, y) for (x, _), (_, y) in zip(points[1:], points, strict=False)]
        pairs = zip(points, [*corners, None], strict=True)
        self.line([place for pair in pairs for place in pair if place is not None], kind)

    def boxes(self, boxes: Iterable[tuple[float, float, float, float]], kind: str) -> None:
        """Draw filled boxes of one kind: left, bottom, right and top of each."""
        path = ""
        for left, bottom, right, top in boxes:
            (x0, y0), (x1, y1) = self.at(left, bottom), self.at(right, top)
            path += f"M{_place(x0, y0)}V{_short(y1)}H{_short(x1)}V{_short(y0)}z"
        if path:
            self.parts.append(element("path", class_=f"fill {kind}", d=path))

    def across(self, y: float, kind: str, label: str) -> None:
        """Draw a horizontal line with a label above it."""
        self.line([(self.x.low, y), (self.x.high, y)], kind)
        self.label(self.x.high, y, label, "end", -4.0)

    def down(self, x: float, kind: str, label: str) -> None:
        """Draw a vertical line with a label at its top."""
        self.line([(x, self.y.low), (x, self.y.high)], kind)
        self.label(x, self.y.high, label, "end" if self.x.share(x) > 0.5 else "start", 11.0)

    def label(self, x: float, y: float, text: str, anchor: str = "middle", dy: float = 0.0) -> None:
        """Write a text at a value, `dy` units lower."""
        across, below = self.at(x, y)
        inset = {"end": -4.0, "start": 4.0}.get(anchor, 0.0)
        self.parts.append(
            element(
                "text",
                escape(text),
                class_="note",
                x=across + inset,
                y=below + dy,
                text_anchor=anchor,
            )
        )

    def markup(self) -> str:
        """Return the chart as an ``<svg>``."""
        return drawing(self.title, self.description, self.height, [*self._axes(), *self.parts])

    def _axes(self) -> list[str]:
        """Return the axes: lines of the grid, ticks, labels."""
        low, right = self.height - BOTTOM, WIDTH - RIGHT
        result = [f'<path class="axis" d="M{LEFT} {TOP}V{low}H{right}"/>']
        for value, name in self.y.marks():
            down = self.at(self.x.low, value)[1]
            result.append(f'<path class="grid" d="M{LEFT} {_short(down)}H{right}"/>')
            place = {"x": LEFT - 6, "y": down + 4.0, "text_anchor": "end"}
            result.append(element("text", escape(name), class_="tick", **place))
        for value, name in self.x.marks():
            place = {"x": self.at(value, self.y.low)[0], "y": low + 15, "text_anchor": "middle"}
            result.append(element("text", escape(name), class_="tick", **place))
        middle, bottom = (LEFT + right) / 2, self.height - 8
        centre = {"x": middle, "y": bottom, "text_anchor": "middle"}
        result.append(element("text", escape(self.x.label), class_="name", **centre))
        result.append(element("text", escape(self.y.label), class_="name", x=4, y=13))
        return result


def drawing(title: str, description: str, height: int, parts: Iterable[str]) -> str:
    """Return an ``<svg>`` of the width 360 that is an image with a name."""
    return element(
        "svg",
        element("title", escape(title)),
        element("desc", escape(description)),
        *parts,
        role="img",
        aria_label=f"{title}. {description}",
        viewBox=f"0 0 {WIDTH} {height}",
    )


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _place(x: float, y: float) -> str:
    return f"{_short(x)} {_short(y)}"
