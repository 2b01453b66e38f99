"""What tools/kill_runs.py would find: evaluations that stand twice, files left behind."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from evolve.subnet_search.evolution import Candidate
from evolve.subnet_search.study import Study
from mcuformer.space import SearchSpace


@pytest.fixture
def kill_runs(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(root / "tools"))
    return importlib.import_module("kill_runs")


def test_an_evaluation_that_stands_twice_is_counted(
    kill_runs, digits_space: SearchSpace, tmp_path: Path
) -> None:
    journal = tmp_path / "journal.log"
    assert kill_runs.repeated_evaluations(journal) == 0
    for number in (1, 2):  # two studies: equal subnets in different ones are not repeated
        study = Study(journal, {"number": number}, digits_space, {})
        for point in digits_space.points()[:3]:
            subnet = digits_space.smallest(point)
            study.evaluated(subnet, lambda s: Candidate(s, 50.0, 1, 1))
    assert kill_runs.repeated_evaluations(journal) == 0
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines, lines[-1], lines[-2], lines[-1]]))
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
