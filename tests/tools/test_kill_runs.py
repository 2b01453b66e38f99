"""What tools/kill_runs.py would find: evaluations that stand twice, files left behind."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from evolve.subnet_search.candidate import Candidate
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.random_subnets import RandomConfig
from evolve.subnet_search.study import Study
from evolve.subnet_search.task import Search
from mcuformer.device import Budget, BudgetConfig, Device
from mcuformer.space import SearchSpace


@pytest.fixture
def kill_runs(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(root / "tools"))
    return importlib.import_module("kill_runs")


def test_an_evaluation_that_stands_twice_is_counted(
    kill_runs, digits_space: SearchSpace, stm32f100: Device, tmp_path: Path
) -> None:
    journal = tmp_path / "journal.log"
    assert kill_runs.repeated_evaluations(journal) == 0
    limit = Budget.of(BudgetConfig(), stm32f100)
    problem = Problem(digits_space, digits_space.points()[:1], lambda s: True, limit)
    search = Search(RandomConfig(samples=3), problem, seed=0)
    for number in (1, 2):  # two studies: equal subnets in different ones are not repeated
        study = Study(str(journal), {"number": number}, search, {})
        study.work(lambda task: Candidate(task.proposal, 50.0, 1, 1))
    assert kill_runs.repeated_evaluations(journal) == 0
    for trial in (study._study.trials[-1], study._study.trials[-2], study._study.trials[-1]):
        study._study.add_trial(trial)
    assert kill_runs.repeated_evaluations(journal) == 3


def test_what_is_left_behind_is_listed(kill_runs, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for path in ("a/b", "a/c", "d/e/f", ".g"):
        (one / path).parent.mkdir(parents=True, exist_ok=True)
        (one / path).touch()
    (other / "a").mkdir(parents=True)
    (other / "a" / "b").touch()
    assert kill_runs.extra_files(one, other) == [".g", "a/c", "d"]
    assert kill_runs.extra_files(other, one) == []


def test_kills_are_shared_out(kill_runs, rng: np.random.Generator) -> None:
    counts = kill_runs.shares(25, 7, rng)
    assert (sum(counts), min(counts), max(counts)) == (25, 3, 4)
