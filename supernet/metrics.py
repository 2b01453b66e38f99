"""``metrics.jsonl``: what a training measured after each epoch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mcuformer.errors import ArtifactError
from mcuformer.run.artifact import write_bytes
from supernet.processes import Processes


class Journal:
    """The rows of ``metrics.jsonl``, one per epoch.

    Args:
        path: the file; rows of an earlier run are kept.
        step: step that training resumes from; later rows are dropped.
        processes: the main process writes.

    Raises:
        ArtifactError: the file is damaged.
    """

    def __init__(self, path: Path, step: int, processes: Processes) -> None:
        self.path, self.processes = path, processes
        self.rows: list[dict[str, Any]] = []
        if processes.is_main and path.exists():
            self.rows = read_rows(path)
        self.drop_after(step)

    def drop_after(self, step: int) -> None:
        """Drop the rows of later steps."""
        self.rows = [row for row in self.rows if row["step"] <= step]

    def add(self, row: dict[str, Any]) -> None:
        """Write one row, and pass it to the trackers."""
        self.processes.accelerator.log(row, step=row["step"])
        self.rows.append(row)
        if self.processes.is_main:
            text = "".join(json.dumps(row) + "\n" for row in self.rows)
            write_bytes(self.path, text.encode())


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of ``metrics.jsonl``.

    Raises:
        ArtifactError: a line is not a row with a step.
    """
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            row = json.loads(line)
            if not isinstance(row["step"], int):
                raise TypeError("step is not a number")
        except (ValueError, TypeError, KeyError) as error:
            raise ArtifactError(f"line {number} is damaged; remove the file", where=path) from error
        rows.append(row)
    return rows
