"""Each published system as one experiment, run whole on digits in the smallest sizes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import run

SMALL = [
    "data=digits",
    "data.steering_fraction=0.6",  # leaves 575 images to train on
    "threads=1",  # a worker of the tests has one core
    "space.rank_ratio=[0.5,1.0]",
    "space.patch_size=[2,4]",
    "space.embed_dim=[32,48]",
    "space.depth=[1,2]",
    "space.num_heads=[2,3]",  # few kinds of blocks, because each is planned anew
    "space.mlp_ratio=[2.0,3.0]",
    "space_search.visit_epochs=1",
    "space_search.num_samples=20",
    "space_search.accuracy_subnets=2",
    "train.epochs=2",
    "train.warmup_epochs=1",
    "finetune.epochs=2",
    "finetune.warmup_epochs=1",
]
TINY = ("population=6", "generations=2", "mutants=3", "crossovers=2")
EXPERIMENTS = {
    "mcuformer": [
        "rounds=2",
        "space_search.max_visits=3",
        "space_search.initial_points=3",
        "space_search.k=3",
        *(f"strategy.{setting}" for setting in TINY),
    ],
    "munas": [
        "strategy.population=6",
        "strategy.sample=3",
        "strategy.rounds=12",
        "evaluator.recipe.epochs=1",
        "budget.soft={error_percent: 5, sram_bytes: 4000, flash_bytes: 40000, macs: 300000}",
    ],
    "sparse": ["strategy.rounds=12", "strategy.initial=4", "evaluator.recipe.epochs=1"],
    "mcunet": ["strategy.samples=20", *(f"strategy.evolution.{setting}" for setting in TINY)],
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_system_runs_from_space_to_report(name: str, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    line = [f"+experiment={name}", *SMALL, *EXPERIMENTS[name], f"run_dir={run_dir}"]
    result = run(["-m", "mcuformer", *line])
    assert result.returncode == 0, result.stderr
    rows = [json.loads(text) for text in (run_dir / "search.jsonl").read_text().splitlines()]
    assert len(rows) == 12
    report = json.loads((run_dir / "report.json").read_text())
    assert report["accuracy_percent"]["int8"] > 20  # chance is 10
    assert report["bit_exact"]["host"] is True
    assert (run_dir / "search.png").exists() == (name == "mcunet")
    assert (run_dir / "rounds.json").exists() == (name == "mcuformer")
