"""A search with every evaluator, as a user runs it, on one small supernet."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from evolve.search import SEARCH
from supernet.train import TRAIN

SMALL = [
    "threads=1",
    "device=stm32f100",
    "strategy.population=4",
    "strategy.generations=2",
    "strategy.parents=2",
    "strategy.mutants=2",
    "strategy.crossovers=1",
]
SHORT = "recipe.epochs=1"
EVALUATORS = {
    "inherited": ["evaluator.racing=true"],
    "finetuned": [f"evaluator.{SHORT}"],
    "scratch": [f"evaluator.{SHORT}"],
    "predictor": [
        "evaluator.samples=10",
        "evaluator.rounds=1",
        "evaluator.chosen=2",
        "evaluator.pool=4",
    ],
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("evaluators") / "run"
    space = ["space.embed_dim=[32]", "space.depth=[1,2]", "point.rank_ratio=1.0"]
    recipe = ["recipe.epochs=3", "recipe.warmup_epochs=0"]
    arguments = [f"run_dir={run_dir}", "threads=1", "point.patch_size=4", *space, *recipe]
    assert TRAIN.main(arguments) == 0
    return run_dir


def rows(run_dir: Path) -> list[dict]:
    return [json.loads(line) for line in (run_dir / "search.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", EVALUATORS)
def test_an_evaluator_steers_a_search(name: str, trained: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(trained, run_dir)
    arguments = [f"run_dir={run_dir}", *SMALL, f"evaluator={name}", *EVALUATORS[name]]
    assert SEARCH.main([*arguments, "finalists=2"]) == 0
    candidates = rows(run_dir)
    assert len(candidates) == 8
    assert all(0.0 <= row["accuracy_percent"] <= 100.0 for row in candidates)
    finalists = [row for row in candidates if row["int8_percent"] is not None]
    lowest = min(row["accuracy_percent"] for row in finalists)
    others = [row["accuracy_percent"] for row in candidates if row["int8_percent"] is None]
    assert len(finalists) == 2
    assert lowest >= max(others)
    winner = json.loads((run_dir / "subnet.json").read_text())
    best = max(finalists, key=lambda row: row["int8_percent"])
    assert winner["blocks"] == best["subnet"]["blocks"]
    journal = (run_dir / "search" / "journal.log").read_bytes()
    assert SEARCH.main([*arguments, "finalists=3"]) == 0  # evaluates nothing again
    assert (run_dir / "search" / "journal.log").read_bytes() == journal
    assert [row["accuracy_percent"] for row in rows(run_dir)] == [
        row["accuracy_percent"] for row in candidates
    ]


def test_a_race_with_sizes_as_objectives_is_one_line(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"run_dir={trained}", *SMALL, "evaluator=inherited", "evaluator.racing=true"]
    assert SEARCH.main([*arguments, "objectives=[accuracy_percent,macs]"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: evaluator.racing: racing drops candidates by their accuracy")
    assert error.count("\n") == 1


def test_tuning_without_a_training_is_one_line(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [f"run_dir={trained}", "device=stm32f100", "strategy=mobo", "strategy.lr_factors=[1,2]"]
    assert SEARCH.main(line) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: evaluator: the strategy's factors are of a training, and")
    assert error.count("\n") == 1


def test_a_batch_beyond_the_training_split_is_one_line(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"run_dir={trained}", *SMALL, "evaluator=predictor"]
    assert SEARCH.main([*arguments, "evaluator.base.recipe.batch_size=4096"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: evaluator.base.recipe.batch_size: a batch is larger")
