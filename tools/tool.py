"""Parts that the tools share: options, errors as one line, tables as text or Markdown, JSON.

A tool that measures has a function that returns its result as one JSON object, and `tables`, which
turns such an object into tables. `tools/results.py` calls `tables` with saved results.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from mcuformer.errors import ConfigError, McuformerError
from mcuformer.interrupt import INTERRUPTED
from mcuformer.run.artifact import read_json
from mcuformer.run.entry import fail


@dataclass(frozen=True)
class Table:
    """A table of text.

    Args:
        header: names of the columns.
        rows: cells of each row.
        title: line above the table; empty if the tool has only one table.
        words: number of leading columns that hold words instead of numbers.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    words: int = 1

    def text(self) -> str:
        """Return the table for a terminal."""
        cells = [self.header, *self.rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [self.title] if self.title else []
        for row in cells:
            padded = [
                cell.ljust(width) if column < self.words else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  ".join(padded).rstrip())
        return "\n".join(lines)

    def markdown(self) -> str:
        """Return the table for a document."""
        rule = ["---"] * self.words + ["---:"] * (len(self.header) - self.words)
        rows = ["| " + " | ".join(cells) + " |" for cells in (self.header, rule, *self.rows)]
        return "\n".join([f"{self.title}:\n", *rows] if self.title else rows)


class Parser(argparse.ArgumentParser):
    """A parser whose description is the tool's docstring and whose errors are one line."""

    def __init__(self, description: str | None) -> None:
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        self.add_argument("--json", action="store_true", help="one JSON object as the last line")

    def error(self, message: str) -> NoReturn:
        """Print the error in one line and exit."""
        raise SystemExit(fail(message))


def run(
    parser: Parser,
    function: Callable[[argparse.Namespace], dict[str, Any]],
    tables: Callable[[dict[str, Any]], Sequence[Table]] | None = None,
    wrong: Callable[[dict[str, Any]], bool] = lambda result: False,
) -> int:
    """Parse the command line, call the tool's function and print its result.

    Args:
        parser: parser of the tool's options.
        function: the tool; it receives the options and returns the object that --json prints.
        tables: returns the tables of such an object; a tool without any prints its own lines.
        wrong: returns whether a result shows a fault, for instance integers that differ.

    Returns:
        The exit code: 0, 1 for a result that shows a fault, 2 for bad input, 130 for Ctrl-C.
    """
    if tables is not None:
        parser.add_argument("--markdown", action="store_true", help="print tables as Markdown")
    options = parser.parse_args()
    try:
        result = function(options)
    except McuformerError as error:
        return fail(error, error.exit_code)
    except KeyboardInterrupt:
        return fail("interrupted", INTERRUPTED)
    if tables is not None:
        show = Table.markdown if options.markdown else Table.text
        print(*(show(table) for table in tables(result)), sep="\n\n")
    if options.json:
        print(json.dumps(result))
    return int(wrong(result))


def require_at_least(minimum: int, **values: int) -> None:
    """Check options that are counts.

    Raises:
        ConfigError: one of the values is below `minimum`.
    """
    for name, value in values.items():
        if value < minimum:
            raise ConfigError(f"at least {minimum}", where=f"--{name}", got=value)


def run_chain(run_dir: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Run the incomplete stages of `python -m mcuformer` in a process of its own.

    Returns:
        The content of the run's ``report.json``.

    Raises:
        McuformerError: the chain failed, with its own message.
    """
    command = [sys.executable, "-m", "mcuformer", *overrides, f"run_dir={run_dir}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        last = result.stderr.strip().splitlines()[-1:] or ["no message"]
        raise McuformerError(last[0].removeprefix("error: "), where=run_dir)
    return read_json(run_dir / "report.json", "report")


def mean_and_spread(values: Sequence[float], digits: int = 2) -> str:
    """Return the mean and, for several values, the standard deviation, as text."""
    mean = f"{np.mean(values):,.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):,.{digits}f}"
