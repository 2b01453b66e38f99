"""The subnet search on a made-up accuracy with a known optimum, under a tight budget."""

from __future__ import annotations

import numpy as np
import pytest

from evolve.space_search.quality import (
    Admission,
    check_feasible,
    measure_admission,
    sample_space,
    score,
)
from evolve.subnet_search.candidate import Candidate
from evolve.subnet_search.evolution import EvolutionConfig
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.task import Search
from mcuformer.device import BudgetConfig, Device
from mcuformer.errors import BudgetError
from mcuformer.space import SearchSpace
from mcuformer.subnet import SubnetConfig
from oplib.target.target import Target


@pytest.fixture
def target(stm32f100: Device) -> Target:
    return Target(stm32f100)


def worth(subnet: SubnetConfig) -> float:
    """A made-up accuracy that grows with every gene."""
    return 50 + subnet.num_params / 10_000 + 0.1 * sum(b.mlp_ratio for b in subnet.blocks)


def test_the_search_finds_nearly_the_best_admissible_subnet(
    digits_space: SearchSpace, target: Target
) -> None:
    points = (digits_space.point_at((2, 1)),)
    problem = Problem(digits_space, points, target.admits, target.limit)
    config = EvolutionConfig(population=40, generations=12, mutants=20, crossovers=15)

    def run(seed: int) -> list[Candidate]:
        found: list[Candidate] = []
        while len(found) < config.evaluations:
            taken = frozenset(candidate.key for candidate in found)
            for proposal in Search(config, problem, seed).propose(len(found), found, taken):
                cost = target.cost(proposal.subnet)
                assert cost.admissible(target.limit)
                memory = cost.footprint
                accuracy = worth(proposal.subnet)
                sizes = memory.sram_bytes, memory.flash_bytes, cost.ms_high
                found.append(Candidate(proposal, accuracy, *sizes))
        return found

    found = run(0)
    assert run(0) == found  # the same seed, the same search
    assert len({candidate.key for candidate in found}) == len(found) == 480
    rng = np.random.default_rng(5)
    fresh = (problem.fresh(rng, frozenset()).subnet for _ in range(2000))
    best = config.best(problem, found)
    assert best.accuracy_percent >= max(map(worth, fresh)) - 0.2


def test_admission_of_the_demo_bites(digits_space: SearchSpace, target: Target) -> None:
    """The demo's promise: 20 to 80 % refused, at least one for SRAM and one for flash."""
    subnets = sample_space(digits_space, 400, np.random.default_rng(0))
    admission, admitted = measure_admission(subnets, target.cost, target.limit)
    assert 0.2 <= 1 - admission.fraction <= 0.8
    assert admission.sram + admission.both >= 1
    assert admission.flash >= 1
    assert len(admitted) == admission.dump()["admitted"]
    assert admission.sampled == 400


def test_score_and_fraction_by_hand() -> None:
    assert Admission(sampled=10, sram=1, flash=2, both=3).fraction == pytest.approx(0.4)
    assert score(90.0, 0.4, 10.0) == pytest.approx(94.0)


def test_an_impossible_budget_tells_the_smallest_footprint(
    digits_space: SearchSpace, stm32f100: Device
) -> None:
    target = Target(stm32f100, BudgetConfig(sram_bytes=600))
    points = digits_space.points()
    smallest = min(target.cost(digits_space.smallest(p)).footprint.sram_bytes for p in points)
    with pytest.raises(BudgetError, match=rf"fits 600 bytes .* are {smallest} of SRAM"):
        check_feasible(points, digits_space, target.cost, target.limit)


def test_a_time_limit_refuses_and_is_kept(digits_space: SearchSpace, stm32f100: Device) -> None:
    subnets = sample_space(digits_space, 200, np.random.default_rng(0))
    free = Target(stm32f100)
    limit = float(np.median([free.cost(subnet).ms_high for subnet in subnets]))
    target = Target(stm32f100, BudgetConfig(milliseconds=limit))
    admission, admitted = measure_admission(subnets, target.cost, target.limit)
    fits = [s for s in subnets if free.admits(s)]
    slow = [s for s in fits if free.cost(s).ms_high > limit]
    assert admission.time == len(slow) > 0
    assert admitted == [s for s in fits if s not in slow]


def test_an_impossible_time_tells_the_fastest_that_fits(
    digits_space: SearchSpace, stm32f100: Device
) -> None:
    target = Target(stm32f100, BudgetConfig(milliseconds=0.5))
    points = digits_space.points()
    fastest = min(Target(stm32f100).cost(digits_space.smallest(p)).ms_high for p in points)
    line = rf"^budget\.milliseconds: no subnet .* \(got 0\.5, expected at least {fastest:g}, "
    with pytest.raises(BudgetError, match=line):
        check_feasible(points, digits_space, target.cost, target.limit)


def test_an_impossible_work_tells_the_least_that_fits(
    digits_space: SearchSpace, stm32f100: Device
) -> None:
    target = Target(stm32f100, BudgetConfig(macs=10))
    points = digits_space.points()
    least = min(digits_space.smallest(point).macs for point in points)
    line = rf"^budget\.macs: no subnet .* \(got 10, expected at least {least}, "
    with pytest.raises(BudgetError, match=line):
        check_feasible(points, digits_space, target.cost, target.limit)
