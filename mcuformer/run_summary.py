"""What a finished run found, as one value: the only reader of finished runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcuformer.cost import Footprint
from mcuformer.errors import ArtifactError
from mcuformer.limits import ByteCount
from mcuformer.run.artifact import RunDir, StageRecord, parsing, read_json
from mcuformer.space import SpacePoint
from mcuformer.subnet import SubnetConfig
from mcuformer.value import Value
from oplib.target.board_record import BoardRecord, current_record

CHAIN_ENDS = "report.json, which the chain writes at its end"
ACCURACIES = ("inherited", "float", "int8", "host", "emulated")


class Budgets(Value):
    """Limits that a run kept.

    Args:
        sram_bytes: SRAM.
        flash_bytes: flash.
        weights_bytes: weights alone; null is none.
        milliseconds: time of an image; null is none.
        macs: multiply-accumulates of an image; null is none.
    """

    sram_bytes: int
    flash_bytes: int
    weights_bytes: int | None
    milliseconds: float | None
    macs: int | None


class RunSummary(Value):
    """What a finished run found.

    Args:
        path: its directory.
        name: last part of `path` and, of several seeds of a run, the part before.
        experiment: the experiment that it is of; null if none is recorded.
        data: name of the data set.
        splits: settings of the data set that decide which images are the test part.
        device: name of the device.
        seed: seed of the run.
        num_images: number of test images behind each accuracy of an integer network.
        accuracy_percent: top-1 accuracies on the test part: ``inherited`` (the search's winner with
            the weights that it inherited), ``float``, ``int8`` (the integer reference), ``host``
            and ``emulated`` (the C; null where that was not verified).
        board: what a board measured of the exported network, whose logits it compared with the
            integer reference's; null if none did.
        weights_bytes: weights, tables and requantisation constants, in flash.
        flash_bytes: flash of the built firmware, code included; null if it was not built.
        sram_bytes: SRAM of the built firmware, with the stack as measured; null likewise.
        planned: bytes of the firmware as planned.
        budget: limits.
        stack_bytes: stack as measured; null if the firmware did not run.
        stack_bound_bytes: largest stack that the firmware can take; null if it is not known.
        macs: multiply-accumulates of an image.
        instructions: instructions of an image on the emulated chip; null if it was not run.
        ms_low: lower end of the modelled time of an image; null if it is not modelled.
        ms_high: its upper end.
        subnet: the exported network.
        point: its point in the space.
        seconds: duration of each stage.
        started: when the first stage began (UTC).
        git_revision: revision of the checkout that measured, or ``unknown``.
        versions: versions of Python and of the main packages.
        machine: processor and number of cores.
        not_verified: what was not verified, and why.
    """

    path: str
    name: str
    experiment: str | None
    data: str
    splits: dict[str, Any]
    device: str
    seed: int
    num_images: int
    accuracy_percent: dict[str, float | None]
    board: BoardRecord | None
    weights_bytes: ByteCount
    flash_bytes: ByteCount | None
    sram_bytes: ByteCount | None
    planned: Footprint
    budget: Budgets
    stack_bytes: ByteCount | None
    stack_bound_bytes: ByteCount | None
    macs: int
    instructions: int | None
    ms_low: float | None
    ms_high: float | None
    subnet: SubnetConfig
    point: SpacePoint
    seconds: dict[str, float]
    started: str
    git_revision: str
    versions: dict[str, str]
    machine: str
    not_verified: tuple[str, ...]

    @classmethod
    def read(cls, run: RunDir) -> RunSummary:
        """Read a finished run.

        Raises:
            ArtifactError: it is no run directory, is not complete, is of another format version,
                or a stage was run again after the report was made.
            ConfigError: a field of a record is missing or wrong.
        """
        if not run.path.is_dir():
            raise ArtifactError("no such run directory", where=run.path)
        records = {record.stage: record for record in run.records()}
        if not records:
            raise ArtifactError("not a run directory", where=run.path, expected="stages/*.json")
        path = run.file("report.json")
        if not path.exists():
            finished = ", ".join(records)
            raise ArtifactError("incomplete run", where=run.path, got=finished, expected=CHAIN_ENDS)
        report, export = read_json(path, "report"), run.file("export.json")
        with parsing(path):
            _refuse_old_report(run, report, records)
            budget = records["report"].config["budget"]
        exported = read_json(export, "export")
        with parsing(export):
            planned = Footprint.parse(exported["footprint"], where=str(export))
        with parsing(path):
            return cls.parse(
                _content(run, report, records, budget)
                | {"planned": planned.dump(), "weights_bytes": planned.weights_bytes},
                where=str(path),
            )


def _refuse_old_report(
    run: RunDir, report: Mapping[str, Any], records: Mapping[str, StageRecord]
) -> None:
    """Refuse a report that does not tell of the stages as they are.

    Raises:
        ArtifactError: naming the stage.
    """
    missing = [name for name in report["seconds"] if name not in records]
    if missing:
        raise ArtifactError("incomplete run", where=run.path, expected=f"the stage {missing[0]}")
    made = records["report"]
    again = [name for name in report["seconds"] if records[name].started > made.started]
    if again or run.changed_output(made) is not None:
        raise ArtifactError(
            "incomplete run: its report is of before; run the chain again",
            where=run.path,
            got=f"{again[0]} of {records[again[0]].started}" if again else "a changed file",
            expected=f"nothing later than the report of {made.started}",
        )


def _content(
    run: RunDir,
    report: Mapping[str, Any],
    records: Mapping[str, StageRecord],
    budget: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the fields of a summary but those of the plan, as plain containers."""
    made, board = records["report"], current_record(run)
    sram, flash, time = report["sram_bytes"], report["flash_bytes"], report["time"] or {}
    data = made.config["data"]
    return {
        "path": str(run.path),
        "name": run_name(run.path),
        "experiment": report.get("experiment"),
        "data": report["data"],
        "splits": {
            name: data[name]
            for name in ("format", "test_fraction", "steering_fraction", "split_seed")
        },
        "device": report["device"],
        "seed": report["seed"],
        "num_images": report["num_images"]["int8"],
        "accuracy_percent": {name: report["accuracy_percent"][name] for name in ACCURACIES},
        "board": None if board is None else board.dump(),
        "flash_bytes": flash["total"],
        "sram_bytes": sram["total"],
        "budget": {
            "sram_bytes": sram["budget"],
            "flash_bytes": flash["budget"],
            "weights_bytes": budget.get("weights_bytes"),  # records of before have none
            "milliseconds": report["limit_ms"],
            "macs": budget["macs"],
        },
        "stack_bytes": sram["stack_high_water"],
        "stack_bound_bytes": sram["stack_bound"],
        "macs": report["macs"],
        "instructions": report["instructions"],
        "ms_low": time.get("ms_low"),
        "ms_high": time.get("ms_high"),
        "subnet": report["subnet"],
        "point": report["space"],
        "seconds": report["seconds"],
        "started": min(record.started for record in records.values()),
        "git_revision": made.git_revision,
        "versions": made.versions,
        "machine": made.machine,
        "not_verified": report["not_verified"],
    }


def run_name(path: Path) -> str:
    """Return what a run is called: its folder's name and, of one seed of several, the parent's.

    >>> run_name(Path("runs/demo")), run_name(Path("runs/digits/seed_1"))
    ('demo', 'digits/seed_1')
    """
    full = path.resolve()
    return f"{full.parent.name}/{full.name}" if full.name.startswith("seed_") else full.name
