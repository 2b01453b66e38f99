"""The files of a run, whichever of them there are, as the sections of its page read them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from mcuformer.errors import ArtifactError
from mcuformer.report.predictions import FILE, Predictions
from mcuformer.run.artifact import RunDir, StageRecord, parsing, read_json
from mcuformer.space import SearchSpace
from oplib.target.board_record import BoardRecord, current_record
from oplib.target.predict import ExportedNetwork


class NotShown(Exception):  # noqa: N818 - it is no error: a section says so and the next follows
    """A section has nothing to show; the message is the line that says why."""


class RunFiles:
    """A run, complete or not.

    Args:
        run: its directory.

    Raises:
        ArtifactError: it is no run directory.
    """

    def __init__(self, run: RunDir) -> None:
        if not run.path.is_dir():
            raise ArtifactError("no such run directory", where=run.path)
        self.run = run
        self.records: dict[str, StageRecord] = {record.stage: record for record in run.records()}
        if not self.records:
            raise ArtifactError("not a run directory", where=run.path, expected="stages/*.json")

    def needs(self, stage: str) -> StageRecord:
        """Return the record of a stage.

        Raises:
            NotShown: it has not run.
        """
        if stage not in self.records:
            raise NotShown(f"The stage {stage} has not run.")
        return self.records[stage]

    @cached_property
    def report(self) -> dict[str, Any] | None:
        """What the report's stage measured on the test part; None before it has run."""
        path = self.run.file("report_measured.json")
        return read_json(path, "report") if "report" in self.records else None

    @cached_property
    def export(self) -> dict[str, Any]:
        """Content of ``export.json``.

        Raises:
            NotShown: nothing has been exported.
        """
        self.needs("oplib.export")
        return read_json(self.run.file("export.json"), "export")

    @cached_property
    def exported(self) -> ExportedNetwork:
        """The exported network.

        Raises:
            NotShown: nothing has been exported.
            ArtifactError: a file of it was changed since.
        """
        self.needs("oplib.export")
        return ExportedNetwork.of_run(self.run)

    @cached_property
    def board(self) -> BoardRecord | None:
        """What a board measured of the export; None if none did."""
        return current_record(self.run)

    @cached_property
    def predictions(self) -> Predictions:
        """Predictions on the test part.

        Raises:
            NotShown: the report's stage has not run, or is of a version that kept none.
            ArtifactError: they are damaged, or not as the stage left them.
        """
        record = self.needs("report")
        if FILE not in record.outputs:
            raise NotShown(
                "This run was made by a version that kept no predictions of the test images; run "
                "the chain again with overwrite=true."
            )
        self.run.refuse_changed([self.run.file(FILE)])
        return Predictions.load(self.run)

    @property
    def outdated(self) -> list[str]:
        """Stages of which an input was written anew since they ran."""
        return [
            record.stage
            for record in self.records.values()
            if any(
                other.started > record.started and Path(path).name in other.outputs
                for other in self.records.values()
                for path in record.inputs
            )
        ]

    def setting(self, *names: str) -> str:
        """Return a setting of the first stage that has it, as text; empty if none has.

        Args:
            names: where it is in the stage's configuration.
        """
        for record in self.records.values():
            value: Any = record.config
            for name in names:
                value = value.get(name) if isinstance(value, dict) else None
            if value is not None:
                return str(value)
        return ""

    @property
    def space(self) -> SearchSpace | None:
        """The search space of the run; None if no stage of it read one."""
        for name, record in self.records.items():
            if "space" in record.config:
                where = f"{self.run.record_file(name)}: config.space"
                return SearchSpace.parse(record.config["space"], where=where)
        return None

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Return the lines of a ``.jsonl`` file of the run; none if it is not there.

        Raises:
            ArtifactError: a line is damaged.
        """
        path = self.run.file(name)
        return read_lines(path) if path.exists() else []

    def newest(self, pattern: str) -> Path | None:
        """Return the file that was written last of those that a pattern names; None of none."""
        paths = sorted(self.run.path.glob(pattern), key=lambda path: path.stat().st_mtime)
        return paths[-1] if paths else None


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the JSON objects of a file that has one per line.

    Raises:
        ArtifactError: a line is damaged.
    """
    with parsing(path):
        rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    if not all(isinstance(row, dict) for row in rows):
        raise ArtifactError("damaged: a line is not a JSON object", where=path)
    return rows


def thinned(rows: Sequence[Any], most: int = 300) -> list[Any]:
    """Return at most so many rows, evenly spread; the last is always among them.

    >>> thinned(range(10), 4)
    [0, 3, 6, 9]
    """
    step = -(-len(rows) // most)
    return list(rows[::-1][::step][::-1]) if rows else []
