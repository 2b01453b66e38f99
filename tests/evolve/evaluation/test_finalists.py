"""The accuracy of integers decides among the best candidates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from evolve.evaluation.evaluator import Workbench
from evolve.evaluation.finalists import final, int8_accuracy_percent, integer_network
from evolve.evaluation.trained import ScratchConfig
from evolve.subnet_search.candidate import Candidate, Proposal
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.random_subnets import RandomConfig
from evolve.subnet_search.task import Task
from mcuformer.data.dataset import Dataset
from mcuformer.data.images import Split
from mcuformer.errors import BudgetError
from oplib.forms import DEFAULT_FORMS
from supernet.recipe import Recipe
from supernet.trainer import train

assert train  # the tier of tests that train


def candidates(problem: Problem) -> list[Candidate]:
    rng = np.random.default_rng(0)
    subnets = {s.key: s for s in (problem.sample(rng) for _ in range(5))}
    return [Candidate(Proposal(s), 80.0 + n, 1, 1) for n, s in enumerate(subnets.values())]


def test_the_winner_is_the_best_finalist_by_int8(problem: Problem) -> None:
    found = candidates(problem)
    int8 = dict(zip((c.key for c in found), (99.0, 98.0, 70.0, 75.0, 72.0), strict=True))
    asked: list[str] = []

    def measure(candidate: Candidate) -> float:
        asked.append(candidate.key)
        return int8[candidate.key]

    best, measured = final(RandomConfig(), problem, found, 3, measure)
    assert asked == [found[4].key, found[3].key, found[2].key]  # the best by the evaluator
    assert best == found[3]  # with its own accuracy, not that of its integers
    assert measured == {key: int8[key] for key in asked}
    assert final(RandomConfig(), problem, found, 0, measure) == (found[4], {})
    assert len(asked) == 3
    assert final(RandomConfig(), problem, found, 99, measure)[0] == found[0]


def test_what_exceeds_the_limits_cannot_win(problem: Problem) -> None:
    found = candidates(problem)
    fitting = [found[0], *(replace(c, fits=False) for c in found[1:])]
    assert final(RandomConfig(), problem, fitting, 2, lambda _: 1.0)[0] == found[0]
    nothing = [replace(candidate, fits=False) for candidate in found]
    with pytest.raises(BudgetError, match=r"^budget: none of 5 pruned networks fits; prune more"):
        final(RandomConfig(), problem, nothing, 0, lambda _: 1.0)


def test_integers_are_about_as_accurate_and_calibrated_on_training_images(
    bench: Callable[..., Workbench], digits: Dataset, problem: Problem
) -> None:
    work = bench(dataset=digits)
    task = Task(0, problem.fresh(np.random.default_rng(0), ()), ())
    recipe = Recipe(epochs=6, batch_size=64, lr=3e-3, warmup_epochs=0)
    vit = ScratchConfig(recipe=recipe).network(work, task)
    measured = int8_accuracy_percent(integer_network(vit, digits, DEFAULT_FORMS), digits.steering)
    expected = work.steering.accuracy_percent(vit)
    assert expected > 80
    assert measured == pytest.approx(expected, abs=2)
    first = Split(digits.steering.images[:20], digits.steering.labels[:20])
    rest = digits.steering.take(np.arange(20, len(digits.steering)))
    parts = []
    for split in (first, rest):  # the same integers, whatever steers
        integer = integer_network(vit, replace(digits, steering=split), DEFAULT_FORMS)
        parts.append(len(split) * int8_accuracy_percent(integer, split))
    assert sum(parts) / len(digits.steering) == pytest.approx(measured)
