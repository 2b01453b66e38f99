"""Markdown documents by parts: code blocks, prose, headings and their anchors.

Code blocks are fenced, or indented by four spaces after a blank line. Anchors are GitHub's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

SPAN = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"(#+) (.*)")


@dataclass(frozen=True)
class Line:
    """A line of a document.

    Args:
        number: its number, from 1.
        text: what it says, of a code block without the indentation; empty for a fence.
        code: whether it belongs to a code block.
    """

    number: int
    text: str
    code: bool


def lines(text: str) -> Iterator[Line]:
    """Yield the lines of a document."""
    fenced = code = False
    blank = True  # whether the line before is
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("```"):
            fenced = not fenced
            yield Line(number, "", code=True)
        elif fenced:
            yield Line(number, line, code=True)
        else:
            indented = line.startswith(("    ", "\t"))
            code = (indented and (code or blank)) or (code and not line.strip())
            yield Line(number, line.removeprefix("\t").removeprefix("    ") if code else line, code)
        blank = not line.strip()


def code_lines(text: str) -> list[str]:
    """Return the lines of all code blocks; one that ends in a backslash goes on in the next."""
    block = "\n".join(line.text for line in lines(text) if line.code)
    return re.sub(r"\\\n\s*", "", block).splitlines()


def prose(text: str) -> str:
    """Return a document without its code blocks, which leave empty lines."""
    return "\n".join("" if line.code else line.text for line in lines(text))


def spans(text: str) -> list[str]:
    """Return the code inside paragraphs and tables."""
    return SPAN.findall(prose(text))


def links(text: str) -> list[str]:
    """Return the targets of a document's links."""
    return LINK.findall(SPAN.sub("", prose(text)))


def paragraphs(text: str) -> Iterator[list[Line]]:
    """Yield the lines of each heading, paragraph, list, table and code block."""

    def kind(line: Line) -> tuple[bool, bool]:
        return line.code, line.code or bool(line.text.strip())

    for (_, filled), group in groupby(lines(text), key=kind):
        if filled:
            yield list(group)


def anchor(heading: str) -> str:
    """Return the anchor that GitHub makes of a heading.

    >>> anchor("What `predict` does, and 16 bits")
    'what-predict-does-and-16-bits'
    """
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def headings(text: str) -> list[str]:
    """Return the anchors of a document's headings."""
    found = map(HEADING.fullmatch, prose(text).splitlines())
    return [anchor(match[2]) for match in found if match]
