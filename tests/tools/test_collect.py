"""Runs become tables; what no table can compare is refused in one line."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from finished_runs import finished_run

from mcuformer.data.dataset import DataConfig
from mcuformer.errors import ArtifactError, ConfigError, McuformerError
from mcuformer.run.artifact import read_json, write_json

DEVICE = {"name": "stm32f100", "clock_hz": 24000000}
BUDGET = {"macs": None, "sram_bytes": 8192}
ACCURACY = {"inherited": 90.0, "float": 97.0, "int8": 96.0, "host": None, "emulated": None}
Run = Callable[..., Path]


@pytest.fixture
def collect(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(root / "tools"))
    return importlib.import_module("collect")


@pytest.fixture
def run(tmp_path: Path, digits_config: DataConfig) -> Run:
    """Write a finished run with settings of its stages."""

    def write(
        name: str,
        seed: int = 0,
        int8: float = 96.0,
        settings: dict[str, Any] | None = None,
        **report: Any,
    ) -> Path:
        path = tmp_path / "runs" / name
        changed = {"seed": seed, "accuracy_percent": {**ACCURACY, "int8": int8}, **report}
        finished_run(path, **changed)
        own = {"device": DEVICE, "budget": BUDGET, **(settings or {})}
        for stage in ("oplib.export", "report"):
            file = path / "stages" / f"{stage}.json"
            content = json.loads(file.read_text())
            content["config"] |= {"seed": seed, "data": digits_config.content(), **own}
            file.write_text(json.dumps(content))
        write_json(path / "threads.json", "threads", {"threads": 2})
        return path

    return write


def candidate(accuracy: float, size: int, *, fits: bool = True) -> dict[str, Any]:
    sizes = {"sram_bytes": size, "flash_bytes": 10 * size}
    return {"accuracy_percent": accuracy, **sizes, "fits": fits}


def test_a_row_per_setting_with_the_spread_of_its_seeds(
    collect: ModuleType, run: Run, tmp_path: Path
) -> None:
    """Seeds of 96 and 98: mean 97, deviation 1.41; selectors differ by name and in k."""
    for k, accuracies in ((3, (96.0, 98.0)), (5, (97.0, 97.5))):
        for seed, int8 in enumerate(accuracies):
            selector = {"space_search": {"name": "trend", "k": k, "start": 6}}
            run(f"trend/{k}_{seed}", seed, int8, selector)
    run("random", 0, 90.0, {"space_search": {"name": "random"}})
    result = collect.collect([tmp_path / "runs"])
    assert result["keys"] == ["space_search", "space_search.k"]
    assert result["task"] == (
        "digits, on stm32f100, 8,192 bytes of SRAM, 131,072 of flash, 400 test images"
    )
    cells = {row[:3]: row[3:] for row in collect.table(result).rows}
    assert cells["trend", "3", "0, 1"][0] == "97.00 ± 1.41"
    assert cells["random", "-", "0"][:4] == ("90.00", "97.00", "90,576", "not verified")
    assert collect.csv_text(result).splitlines()[0].startswith("space_search,space_search.k,seed,")
    assert len(collect.csv_text(result).splitlines()) == 1 + 5


def test_files_and_pictures_of_a_swept_number(
    collect: ModuleType, run: Run, tmp_path: Path
) -> None:
    for k in (3, 5):
        sizes = {"arena_planned": 1792, "total": 2000 * k, "budget": 8192}
        sram = dict.fromkeys(("stack_high_water", "stack_bound")) | sizes
        path = run(
            f"{k}", 0, 95.0 + k, {"space_search": {"name": "trend", "k": k}}, sram_bytes=sram
        )
        rows = [candidate(90.0, 400), candidate(90.5, 500), candidate(89.0, 450)]
        rows += [candidate(99.0, 100, fits=False), candidate(90.0, 400)]
        (path / "search.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    options = {"folders": [tmp_path / "runs"], "by": [], "out": tmp_path / "out", "results": None}
    collect.write(collect.argparse.Namespace(command=[], **options))
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    fronts = {"front_sram.png", "front_flash.png"}
    assert set(files) == {"table.md", "runs.csv", "sram.png", "space_search.k.png", *fronts}
    found = collect.fronts(collect.collect([tmp_path / "runs"]), "sram_bytes")
    assert found["k 3"] == found["k 5"] == [(400, 90.0, 0.0), (500, 90.5, 0.0)]
    assert all(files[name][1:4] == b"PNG" for name in files if name.endswith(".png"))
    assert b"| 5 | 0 | 100.00 |" in files["table.md"]


def test_mixed_runs_need_a_word_of_the_user(collect: ModuleType, run: Run, tmp_path: Path) -> None:
    run("a")
    run("b", settings={"budget": BUDGET | {"sram_bytes": 4096}})
    with pytest.raises(ConfigError, match=r"b: runs of several budget\.sram_bytes.*got 4096"):
        collect.collect([tmp_path / "runs"])
    assert collect.collect([tmp_path / "runs"], ["budget"])["keys"] == ["budget.sram_bytes"]
    with pytest.raises(ConfigError, match=r"--by: the runs do not differ in it \(got device"):
        collect.collect([tmp_path / "runs"], ["device"])
    run("c", experiment="demo")
    with pytest.raises(ConfigError, match="runs of several experiment"):
        collect.collect([tmp_path / "runs"], ["budget"])


def test_refused_folders(collect: ModuleType, run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtifactError, match="empty: no run in it"):
        collect.collect([tmp_path / "empty"])
    run("a")
    run("copy of a")
    with pytest.raises(ArtifactError, match="copy of a: a run of the same settings and seed"):
        collect.collect([tmp_path / "runs"])
    (tmp_path / "runs" / "copy of a" / "report.json").unlink()
    with pytest.raises(McuformerError, match="copy of a: incomplete run"):
        collect.collect([tmp_path / "runs"])


def test_experiments_are_recorded_and_replaced(
    collect: ModuleType, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_by = dict.fromkeys(("cpu", "cores"))
    monkeypatch.setattr(collect.experiment_results.results, "environment", lambda: made_by)

    def save(*names: str, commands: Sequence[str] = ()) -> dict[str, Any]:
        paths = [tmp_path / "runs" / name for name in names]
        return collect.experiment_results.save(paths, tmp_path, commands)["experiments"]

    run("demo/seed_0", 0, 96.0, experiment="demo")
    run("demo/seed_1", 1, 98.0, experiment="demo")
    run("other", 0, 91.0, experiment="mine")
    assert save("demo/seed_0")["demo"]["runs"][0]["cpu_hours"] == round(2 * 5.0 / 3600, 3)
    rows = save("demo/seed_0", "demo/seed_1", "other")
    assert list(rows) == ["demo", "mine"]
    assert (rows["demo"]["published_test"], rows["demo"]["test_images"]) == (False, 400)
    assert rows["demo"]["commands"] == ["python -m mcuformer +experiment=demo run_dir=runs/demo"]
    assert save("other") == rows
    assert save("other", commands=["a", "b"])["mine"]["commands"] == ["a", "b"]
    assert collect.tables({"experiments": save("other", commands=["a", "b"])})[2].rows[1][1] == (
        "`a`; `b`"
    )
    assert save("other") == rows
    with pytest.raises(ConfigError, match="--command: commands are those of one experiment"):
        save("demo/seed_0", "other", commands=["a"])
    saved = read_json(tmp_path / "experiments.json", "measurement")
    accuracy = collect.tables(saved["result"])[0]
    assert accuracy.rows[0][3:] == ("0, 1", "97.00 ± 0.00", "97.00 ± 1.41", "400, own split")
    run("demo/seed_2", 2, 98.0, {"x": 1}, experiment="demo")
    run("demo/seed_3", 3, 98.0, {"x": 2}, experiment="demo")
    with pytest.raises(
        ConfigError, match=r"seed_3: runs of demo differ in x; .*got 2, expected 1, as in"
    ):
        save("demo/seed_2", "demo/seed_3")
    with pytest.raises(ArtifactError, match="a run of no experiment"):
        save(str(run("none")))
    assert read_json(tmp_path / "experiments.json", "measurement") == saved
