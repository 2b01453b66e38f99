"""Chebyshev scalarisations, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evolve.subnet_search.aging import AgingConfig
from evolve.subnet_search.candidate import Candidate, Proposal
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.scalarisation import Scalarisation
from mcuformer.device import SoftBounds
from mcuformer.errors import BudgetError
from mcuformer.subnet import SubnetConfig

SOFT = SoftBounds(error_percent=10.0, sram_bytes=2000, flash_bytes=50_000)
# accuracy, SRAM, flash
SIZES = [(95.0, 1000, 50_000), (80.0, 500, 5000), (99.0, 30_000, 10_000)]


@pytest.fixture
def candidates(small_subnet: SubnetConfig) -> list[Candidate]:
    return [Candidate(Proposal(small_subnet), *sizes) for sizes in SIZES]


def test_scalars_by_hand(problem: Problem, candidates: list[Candidate]) -> None:
    scalarisation = Scalarisation.of(replace(problem, soft=SOFT), error_percent=1.0)
    losses = scalarisation.losses(candidates)
    assert losses.tolist() == [[5, 1000, 50_000], [20, 500, 5000], [1, 30_000, 10_000]]
    # shares of the bounds: (.5, .5, 1), (2, .25, .1), (.1, 15 capped to 10, .2)
    assert scalarisation.scalars(losses, np.ones(3)) == pytest.approx([1, 2, 10])
    assert scalarisation.scalars(losses, np.array([0.1, 1.0, 1.0])) == pytest.approx([5, 20, 10])
    assert scalarisation.scalars(losses, np.array([1.0, 1.0, 0.1])) == pytest.approx([10, 2, 10])


def test_weights_are_uniform_and_never_zero(rng: np.random.Generator) -> None:
    weights = np.array([Scalarisation({"macs": 1.0}).weights(rng) for _ in range(2000)])
    assert 0.0 < weights.min() < 0.01
    assert 0.99 < weights.max() <= 1.0
    assert weights.mean() == pytest.approx(0.5, abs=0.03)


def test_bounds_are_the_soft_ones_or_the_limits(problem: Problem) -> None:
    soft = SoftBounds(error_percent=3.0, milliseconds=20.0)
    assert Scalarisation.of(replace(problem, soft=soft), 10.0).bounds == {
        "accuracy_percent": 3.0,
        "milliseconds": 20.0,
    }
    limits = {"accuracy_percent": 10.0, "sram_bytes": 8192.0, "flash_bytes": 131_072.0}
    assert Scalarisation.of(problem, 10.0).bounds == limits  # of the STM32F100
    limit = problem.limit.model_copy(update={"macs": 10**6})
    assert Scalarisation.of(replace(problem, limit=limit), 10.0).bounds == limits | {"macs": 1e6}


def test_an_objective_without_bound(problem: Problem) -> None:
    with pytest.raises(BudgetError, match=r"^budget\.soft: no bound"):
        Scalarisation.of(replace(problem, soft=SoftBounds()), 10.0)
    soft = Scalarisation.of(replace(problem, soft=SOFT), 10.0)
    assert soft.among(["flash_bytes"]).bounds == {"flash_bytes": 50_000.0}
    with pytest.raises(BudgetError, match=r"^budget\.soft\.macs: no bound of an objective"):
        soft.among(["accuracy_percent", "macs"])


def test_the_best_keeps_the_sizes_if_one_does(
    problem: Problem, candidates: list[Candidate]
) -> None:
    strategy, soft = AgingConfig(), replace(problem, soft=SOFT)
    assert strategy.best(soft, candidates) == candidates[0]  # the third exceeds the SRAM
    assert strategy.best(soft, candidates[1:]) == candidates[1]
    tight = replace(problem, soft=SOFT.model_copy(update={"flash_bytes": 4000}))
    # none keeps 4,000 bytes; shares: (.5, .5, 10), (2, .25, 1.25), (.1, 10, 2.5)
    assert strategy.best(tight, candidates) == candidates[1]
    assert strategy.best(tight, candidates[::2]) == candidates[2]  # both at the cap: the accuracy
