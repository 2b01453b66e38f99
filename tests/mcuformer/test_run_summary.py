"""A finished run is read as it is; an unfinished, old or damaged one is refused in a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from finished_runs import finished_run

from mcuformer.errors import ArtifactError, McuformerError
from mcuformer.run.artifact import RunDir, write_json
from mcuformer.run_summary import RunSummary


def edit(path: Path, **changed: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def test_a_finished_run(tmp_path: Path) -> None:
    summary = RunSummary.read(finished_run(tmp_path / "digits" / "seed_3"))
    assert (summary.name, summary.experiment) == ("digits/seed_3", None)
    assert (summary.data, summary.device, summary.seed) == ("digits", "stm32f100", 3)
    assert summary.accuracy_percent["int8"] == 98.25
    assert summary.accuracy_percent["emulated"] is summary.flash_bytes is summary.ms_high is None
    assert summary.weights_bytes == 90576  # planned, as no firmware was built
    assert summary.planned.sram_bytes == 1792 + 20 + 768
    assert summary.budget.flash_bytes == 131072
    assert summary.started == "2026-11-26T09:59:40Z"
    assert summary.machine == "not recorded"
    assert summary.not_verified == ("emulated chip not verified: no qemu",)


def test_built_sizes_and_a_recorded_experiment(tmp_path: Path) -> None:
    run = finished_run(tmp_path, experiment="demo", time={"ms_low": 5.0, "ms_high": 6.5})
    summary = RunSummary.read(run)
    assert (summary.experiment, summary.ms_low, summary.ms_high) == ("demo", 5.0, 6.5)


FAULTS: dict[str, tuple[Callable[[RunDir], object], str]] = {
    "no report": (lambda run: run.file("report.json").unlink(), "got oplib.export, report"),
    "no stage": (lambda run: run.record_file("oplib.export").unlink(), "the stage oplib.export"),
    "another version": (
        lambda run: edit(run.file("report.json"), format_version=2),
        "report.json: unsupported format version (got 2, expected 1)",
    ),
    "another kind": (
        lambda run: edit(run.file("export.json"), format="mcuformer/qat"),
        "export.json: wrong kind of file",
    ),
    "half a file": (
        lambda run: run.file("report.json").write_text("{"),
        "report.json:1:2: damaged",
    ),
    "a missing part": (
        lambda run: write_json(run.file("report.json"), "report", {"seconds": {}}),
        "report.json: damaged: KeyError('sram_bytes')",
    ),
    "a wrong part": (
        lambda run: edit(run.file("report.json"), macs="many"),
        "report.json: macs: Input",
    ),
    "an export since": (
        lambda run: edit(run.record_file("oplib.export"), started="2026-11-27T00:00:00Z"),
        "run the chain again (got oplib.export of 2026-11-27T00:00:00Z",
    ),
    "measured again": (lambda run: edit(run.file("report_measured.json"), seed=4), "changed file"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_finished_run_is_refused(tmp_path: Path, fault: str) -> None:
    damage, message = FAULTS[fault]
    run = finished_run(tmp_path)
    damage(run)
    with pytest.raises(McuformerError) as caught:
        RunSummary.read(run)
    line = str(caught.value)
    assert message in line
    assert str(tmp_path) in line
    assert "\n" not in line


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="not a run directory"):
        RunSummary.read(RunDir(tmp_path))
    with pytest.raises(ArtifactError, match="no such run directory"):
        RunSummary.read(RunDir(tmp_path / "missing"))
