"""The front of a search: no point on it is beaten, and every other is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from finished_runs import BLOCK, SUBNET
from hypothesis import given
from hypothesis import strategies as st

from mcuformer.errors import ArtifactError
from mcuformer.report.blocks import Grid
from mcuformer.report.run_files import NotShown, RunFiles
from mcuformer.report.searches import fronts, pareto
from mcuformer.run.artifact import RunDir, write_json

values = st.integers(0, 6).map(float)
WINNER = {**SUBNET, "blocks": [BLOCK]}


@given(st.lists(st.tuples(values, values), max_size=20))
def test_the_front_is_what_nothing_beats(points: list[tuple[float, float]]) -> None:
    def beaten(point: tuple[float, float]) -> bool:
        return any(x <= point[0] and y >= point[1] and (x, y) != point for x, y in points)

    assert pareto(points) == sorted({point for point in points if not beaten(point)})


def row(accuracy: float, sram: int, *, fits: bool = True, **changed: Any) -> dict[str, Any]:
    base = {"accuracy_percent": accuracy, "sram_bytes": sram, "flash_bytes": 2048, "ms_high": None}
    return {**base, "int8_percent": None, "fits": fits, "subnet": {}, **changed}


@pytest.fixture
def searched(tmp_path: Path) -> RunDir:
    run = RunDir(tmp_path)
    record = {
        "stage": "evolve.search",
        "fingerprint": "0",
        "config": {
            "evaluator": {"name": "predictor"},
            "budget": {"sram_bytes": 3000, "flash_bytes": None, "milliseconds": None},
        },
        "inputs": [],
        "outputs": {},
        "seconds": 1.0,
        "started": "2026-11-26T09:59:40Z",
        "git_revision": "0",
        "versions": {},
    }
    write_json(run.record_file("evolve.search"), "stage", record)
    write_json(run.file("subnet.json"), "subnet", WINNER)
    rows = [row(90.0, 1024), row(95.0, 2048, subnet=WINNER), row(85.0, 2048)]
    rows.append(row(99.0, 4096, fits=False))
    run.file("search.jsonl").write_text("".join(json.dumps(line) + "\n" for line in rows))
    return run


def test_a_chart_for_each_cost_that_is_known(searched: RunDir) -> None:
    grid, text = fronts(RunFiles(searched))[:2]
    assert isinstance(grid, Grid)
    charts = [column[0] for column in grid.columns]
    assert [chart.caption for chart in charts] == [
        "Accuracy against SRAM",
        "Accuracy against flash",
    ]
    sram = charts[0].svg
    assert "4 candidates; 2 are on the front, from 90.00 % to 95.00 %." in sram
    assert 'class="ring chosen"' in sram
    assert ">limit</text>" in sram
    assert ">limit</text>" not in charts[1].svg
    assert text.text.startswith("Predicted accuracy on steering data of all 4 candidates")
    assert "3 keep the limits" in text.text


def test_faults_are_told(searched: RunDir) -> None:
    searched.file("search.jsonl").write_text("[]\n")
    with pytest.raises(ArtifactError, match="a line is not a JSON object"):
        fronts(RunFiles(searched))
    searched.file("search.jsonl").unlink()
    with pytest.raises(NotShown, match="left no candidates"):
        fronts(RunFiles(searched))
