"""Every figure of README and docs/ stands in docs/results.md, or says where else it is from.

    python tools/check_docs.py [--json]

A figure is a number with a unit outside code: percent, points with decimals, bytes, milliseconds to
days, instructions, cycles, multiply-accumulates, rates, ratios ("14 times"). So are the numbers of
a table's column whose head names a unit, and all numbers of a program's output (a code block with
the lines of a box). A figure is right if it is

* measured: its paragraph, or the one before or after, links to a section of docs/results.md, and
  the section has a number that rounds to it;
* a device's: kilobytes or megabytes that are the size of a region in conf/device/;
* quoted: an entry of docs/figures.yaml names the document, the figure as printed, what it is
  (KINDS) and its source. A limit's source is the constant in the code, whose value is compared. An
  entry that the document no longer has is a fault.

docs/results.md itself is compared with docs/results/*.json by a test.
"""

from __future__ import annotations

import argparse
import ast
import operator
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import document
import tool
from document import Line
from tool import Parser

from mcuformer.device import Device
from mcuformer.errors import ArtifactError
from mcuformer.run.presets import conf_dir, load
from mcuformer.run.user_file import read_user_yaml

ROOT = Path(__file__).resolve().parents[1]
RESULTS = "results.md"
OPERATORS = {ast.Mult: operator.mul, ast.Add: operator.add, ast.Pow: operator.pow}
KINDS = ("published", "setting", "limit", "counted", "assumed")
NUMBER = r"\d[\d,]*(?:\.\d+)?"
WORDS: dict[str, float] = {
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "eight": 8,
    "ten": 10,
    "twenty": 20,
}
WORDS |= {"a": 1, "an": 1, "half a": 0.5, "half an": 0.5, "seven": 7, "nine": 9, "thirty": 30}
BYTES = {"byte": 1, "B": 1, "KB": 2**10, "KiB": 2**10, "MB": 2**20, "MiB": 2**20, "GB": 2**30}
BYTES |= {"bytes": 1, "kB": 1000, "GiB": 2**30}
SECONDS = {"ms": 1e-3, "s": 1.0, "second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
SECONDS |= {f"{name}s": value for name, value in SECONDS.items() if len(name) > 2}
TIMES = "|".join(("milliseconds?", *SECONDS))
WORK = "instructions?|cycles?|MACs?|multiply-accumulates?|images per second|times|TFLOP/s"
UNIT = "|".join(("%", "percent", *BYTES, TIMES, WORK))
SERIES = rf"{NUMBER}(?:(?: to | ± | and | or | of |, |–){NUMBER})*"
FIGURE = re.compile(
    rf"(?<![\w.,#/-])(?:(?P<series>{SERIES})[  -]?(?P<unit>{UNIT})"
    rf"|(?P<points>\d+\.\d+) points?"
    rf"|(?P<word>{'|'.join(WORDS)})[  -](?P<span>minutes?|hours?|days?|seconds)"
    rf"|(?P<ratio>{'|'.join(WORDS)}) times)(?![\w/])",
)
HEAD = re.compile(rf"(?<!\w)(?:{UNIT}|bytes|ratio|SRAM|flash|accuracy)(?!\w)")
OUTPUT = "│"


@dataclass(frozen=True)
class Figure:
    """A figure of a document.

    Args:
        line: its line's number.
        text: the figure as printed.
        numbers: its numbers as printed.
        unit: its unit as printed; empty in tables and outputs.
    """

    line: int
    text: str
    numbers: tuple[str, ...]
    unit: str = ""


@dataclass(frozen=True)
class Quote:
    """A line of docs/figures.yaml."""

    document: str
    figure: str
    kind: str
    source: str


def in_prose(lines: list[Line]) -> Iterator[Figure]:
    """Yield the figures of a paragraph, one that goes on in the next line included."""
    text = "\n".join(line.text for line in lines)
    # what is code or a link's target leaves its length, so that places stay
    text = document.SPAN.sub(lambda match: "`" * len(match[0]), text)
    text = document.LINK.sub(lambda match: "]" * len(match[0]), text)
    for match in FIGURE.finditer(text.replace("\n", " ")):
        number = lines[0].number + text.count("\n", 0, match.start())
        found = match["series"] or match["points"] or ""
        unit = match["unit"] or match["span"] or ("points" if match["points"] else "times")
        yield Figure(number, match[0], tuple(re.findall(NUMBER, found)), unit)


def in_table(lines: list[Line]) -> Iterator[Figure]:
    """Yield the numbers in the columns of a table whose head names a unit."""
    head, *rows = ([cell.strip() for cell in line.text.strip("| ").split("|")] for line in lines)
    columns = [place for place, cell in enumerate(head) if HEAD.search(cell)]
    for line, cells in zip(lines[1:], rows, strict=True):
        for place in columns:
            cell = cells[place] if place < len(cells) else ""
            bare = document.SPAN.sub("", cell)
            if re.match(NUMBER, bare) and not FIGURE.search(bare):
                yield Figure(line.number, cell, tuple(re.findall(NUMBER, bare)))


def in_output(lines: list[Line]) -> Iterator[Figure]:
    """Yield the numbers of a program's output, those in names (int8) left out."""
    for line in lines:
        for match in re.finditer(rf"(?<![\w.]){NUMBER}(?![\w.])", line.text):
            yield Figure(line.number, match[0], (match[0],))


def figures(block: list[Line]) -> list[Figure]:
    """Return the figures of a paragraph, table or code block."""
    if block[0].code:
        is_output = any(OUTPUT in line.text for line in block)
        return list(in_output(block)) if is_output else []
    if block[0].text.startswith("|"):
        return [*in_prose(block), *in_table(block)]
    return list(in_prose(block))


def cited(block: list[Line]) -> set[str]:
    """Return the sections of docs/results.md to which a block links."""
    targets = [] if block[0].code else document.links("\n".join(line.text for line in block))
    parts = (target.partition("#") for target in targets)
    return {anchor for name, _, anchor in parts if Path(name).name == RESULTS and anchor}


def sections(page: str) -> dict[str, list[Decimal]]:
    """Return the numbers of every section of docs/results.md, by anchor."""
    found: dict[str, list[Decimal]] = {}
    for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        title, _, content = part.partition("\n")
        found[document.anchor(title)] = [value(text) for text in re.findall(NUMBER, content)]
    return found


def value(number: str) -> Decimal:
    """Return the value of a number as printed."""
    return Decimal(number.replace(",", ""))


def stands(number: str, measured: list[Decimal]) -> bool:
    """Return whether one of the measured numbers rounds to a printed one.

    >>> stands("97.9", [Decimal("97.88")]), stands("97.9", [Decimal("97.8")])
    (True, False)
    """
    printed = value(number)
    half = Decimal((0, (5,), printed.as_tuple().exponent - 1))  # type: ignore[operator]
    return any(abs(printed - exact) <= half for exact in measured)


def is_size_of_a_region(figure: Figure, sizes: set[int]) -> bool:
    """Return whether a figure is the size of a device's memory."""
    scale = BYTES[figure.unit] if figure.unit in ("KB", "MB") else 0
    return scale > 0 and all(int(value(text) * scale) in sizes for text in figure.numbers)


def base_value(figure: Figure) -> float:
    """Return the one number of a figure in bytes or seconds, or as it is."""
    if figure.numbers:
        number = float(value(figure.numbers[0]))
    else:
        number = WORDS[figure.text.removesuffix(figure.unit).strip()]
    return number * (BYTES | SECONDS).get(figure.unit, 1)


def read_quotes(path: Path) -> list[Quote]:
    """Return the lines of docs/figures.yaml.

    Raises:
        ArtifactError: an entry has other fields, or a kind that is not known.
    """
    quotes = []
    for name, entries in read_user_yaml(path).items():
        for entry in entries:
            if set(entry) != {"figure", "kind", "source"} or entry["kind"] not in KINDS:
                expected = f"figure, kind ({', '.join(KINDS)}), source"
                raise ArtifactError("unknown entry", where=path, got=entry, expected=expected)
            quotes.append(Quote(name, str(entry["figure"]), entry["kind"], entry["source"]))
    return quotes


def constant(source: str) -> float:
    """Return the value of a constant in C or Python, which is read, not imported.

    Raises:
        ArtifactError: there is no such constant.
    """
    path, _, name = source.partition(":")
    pattern = rf"^(?:#define )?{name}(?: =)? ([\d_.*+ ]+)"
    match = re.search(pattern, (ROOT / path).read_text(), re.MULTILINE)
    if match is None:
        raise ArtifactError("no such constant", where=path, got=name)
    return _computed(ast.parse(match[1].strip(), mode="eval").body)


def _computed(node: ast.expr) -> float:
    if isinstance(node, ast.BinOp):
        return float(OPERATORS[type(node.op)](_computed(node.left), _computed(node.right)))
    assert isinstance(node, ast.Constant)
    return float(node.value)  # type: ignore[arg-type]


def fault_of_quote(quote: Quote, figure: Figure) -> str | None:
    """Return what is wrong with a figure that a quote names."""
    if quote.kind != "limit":
        return None
    exact, found = constant(quote.source), base_value(figure)
    return None if exact == found else f"{figure.text!r} is {exact:g} in {quote.source}"


class Checker:
    """What figures may refer to, and which quotes were met.

    Args:
        page: content of docs/results.md.
        quotes: lines of docs/figures.yaml.
    """

    def __init__(self, page: str, quotes: list[Quote]) -> None:
        self.sections = sections(page)
        self.quotes = {(quote.document, quote.figure): quote for quote in quotes}
        self.met: set[tuple[str, str]] = set()
        files = (conf_dir() / "device").glob("*.yaml")
        devices = (load("device", file.stem, Device) for file in files)
        self.sizes = {region.size_bytes for device in devices for region in device.regions}
        self.count = 0

    def faults(self, name: str, text: str) -> Iterator[tuple[int, str]]:
        """Yield line and fault of every figure of a document that is from nowhere."""
        blocks = list(document.paragraphs(text))
        cites = [set[str](), *map(cited, blocks), set[str]()]
        for place, block in enumerate(blocks):
            near = cites[place] | cites[place + 1] | cites[place + 2]
            measured = [number for anchor in near for number in self.sections.get(anchor, [])]
            for figure in figures(block):
                self.count += 1
                fault = self._fault(name, figure, measured)
                if fault:
                    yield figure.line, fault

    def _fault(self, name: str, figure: Figure, measured: list[Decimal]) -> str | None:
        quote = self.quotes.get((name, figure.text))
        if quote:
            self.met.add((name, figure.text))
            return fault_of_quote(quote, figure)
        if is_size_of_a_region(figure, self.sizes):
            return None
        if figure.numbers and all(stands(number, measured) for number in figure.numbers):
            return None
        return f"{figure.text!r} stands in no section of docs/{RESULTS} that is linked beside it"

    def stale(self) -> list[str]:
        """Return the quotes that no document has."""
        missing = sorted(set(self.quotes) - self.met)
        return [f"docs/figures.yaml: {name} has no figure {figure!r}" for name, figure in missing]


def check(root: Path) -> dict[str, Any]:
    """Return the number of figures of README and docs/, and those that are from nowhere."""
    page = root / "docs" / RESULTS
    checker = Checker(page.read_text(), read_quotes(root / "docs" / "figures.yaml"))
    faults = []
    for path in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]:
        if path != page:
            name = path.relative_to(root).as_posix()
            found = checker.faults(name, path.read_text())
            faults += [f"{name}:{line}: {fault}" for line, fault in found]
    return {"figures": checker.count, "faults": [*faults, *checker.stale()]}


def show(options: argparse.Namespace) -> dict[str, Any]:
    """Check the documents and print a line per fault."""
    result = check(ROOT)
    print(*result["faults"], f"{result['figures']} figures", sep="\n")
    return result


def main() -> int:
    """Run the command line."""
    return tool.run(Parser(__doc__), show, wrong=lambda result: bool(result["faults"]))


if __name__ == "__main__":
    raise SystemExit(main())
