"""The tools print one JSON object with the promised keys as their last line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def run_tool(root: Path, name: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, str(root / "tools" / f"{name}.py"), *arguments, "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_bench_trend(root: Path) -> None:
    found = run_tool(root, "bench_trend", "--seeds", "20", "--visits", "30")
    assert (found["seeds"], found["visits"]) == (20, 30)
    assert found["mean_regret"] <= 0.30
    assert found["optimum_rate"] >= 0.70
    assert found["random_mean_regret"] > found["mean_regret"]
    assert set(found) >= {"random_optimum_rate", "paper_mean_regret", "paper_optimum_rate"}


def test_admission_map(root: Path, tmp_path: Path) -> None:
    picture = tmp_path / "map.png"
    found = run_tool(
        root,
        "admission_map",
        "space=digits",
        "--devices",
        "stm32f100",
        "--samples",
        "20",
        "--picture",
        str(picture),
    )
    assert set(found["rho"]["stm32f100"]) == {"paper", "released", "planner", "exact"}
    rows = found["rho"]["stm32f100"]["planner"]
    assert [len(row) for row in rows] == [4] * 4
    assert picture.read_bytes()[1:4] == b"PNG"


@pytest.mark.parametrize("argument", ["space=absent", "--devices=absent"])
def test_admission_map_refuses(root: Path, argument: str) -> None:
    command = [sys.executable, str(root / "tools" / "admission_map.py"), argument]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


def test_bench_supernet(root: Path) -> None:
    """Runs and keeps its promise on parameter counts; its ratios are for an idle machine."""
    found = run_tool(root, "bench_supernet", "--subnets", "1", "--repeats", "1")
    ratios = {"train_overhead_ratio", "eval_overhead_ratio"}
    rates = {"train_steps_per_second", "eval_images_per_second", "param_counts_per_second"}
    assert set(found) == ratios | rates | {"presets"}
    assert [preset["name"] for preset in found["presets"]] == ["autoformer_t", "fashion_mnist"]
    assert found["param_counts_per_second"] > 10_000
    for name in ratios:
        assert found[name] == max(preset[name] for preset in found["presets"])


def test_compare_sampling(root: Path, tmp_path: Path) -> None:
    short = ["recipe.epochs=3", "recipe.warmup_epochs=0", "--seeds", "2", "--train-images", "300"]
    found = run_tool(root, "compare_sampling", *short, "--out", str(tmp_path))
    rows = found["rows"]
    assert [(row["seed"], row["sampling"]) for row in rows[:4]] == [
        (0, "uniform"),
        (0, "sandwich"),
        (0, "budget_aware"),
        (1, "uniform"),
    ]
    assert all(set(row) >= {"smallest", "median", "largest"} for row in rows)
    epochs = {row["sampling"]: row["epochs"] for row in rows if row["seed"] == 0}
    assert epochs["sandwich"] < epochs["uniform"] < epochs["budget_aware"]  # equal compute
