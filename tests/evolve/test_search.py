"""The subnet search on a made-up accuracy with a known optimum, under a tight budget."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.space_search.quality import (
    Admission,
    check_feasible,
    measure_admission,
    sample_space,
    score,
)
from evolve.subnet_search.evolution import Candidate, EvolutionConfig, evolve
from evolve.subnet_search.population import Variation
from mcuformer.device import BudgetConfig, Device
from mcuformer.errors import BudgetError
from mcuformer.space import SearchSpace
from mcuformer.subnet import SubnetConfig
from oplib.target.target import Target


@pytest.fixture
def target(stm32f100: Device) -> Target:
    return Target(stm32f100)


def variation(space: SearchSpace, target: Target) -> Variation:
    return Variation(space, space.point_at((1, 0)), target.admits, 0.4, 0.4, 0.2)


def worth(subnet: SubnetConfig) -> float:
    """A made-up accuracy that grows with every gene."""
    return 50 + subnet.num_params / 10_000 + 0.1 * sum(b.mlp_ratio for b in subnet.blocks)


def test_the_search_finds_nearly_the_best_admissible_subnet(
    digits_space: SearchSpace, target: Target
) -> None:
    vary = variation(digits_space, target)
    seen: list[Candidate] = []

    def evaluate(subnet: SubnetConfig) -> Candidate:
        cost = target.cost(subnet)
        assert cost.admissible(target.limit)
        memory = cost.footprint
        return Candidate(subnet, worth(subnet), memory.sram_bytes, memory.flash_bytes, cost.ms_high)

    def run(seed: int) -> Candidate:
        rng = np.random.default_rng(seed)
        config = EvolutionConfig(population=40, generations=12, mutants=20, crossovers=15)
        return evolve(config, vary, evaluate, rng, range(12), lambda _, new: seen.extend(new))

    best = run(0)
    assert run(0) == best  # the same seed, the same search
    assert len({c.subnet.key for c in seen[: len(seen) // 2]}) == len(seen) // 2
    rng = np.random.default_rng(5)
    random_best = max(worth(vary.fresh(rng)) for _ in range(2000))
    assert best.accuracy_percent >= random_best - 0.2


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_children_stay_in_the_space(
    digits_space: SearchSpace, stm32f100: Device, seed: int
) -> None:
    vary = variation(digits_space, Target(stm32f100))
    rng = np.random.default_rng(seed)
    mother, father = (digits_space.sample(vary.point, rng) for _ in range(2))
    child = vary.cross(mother, father, rng)
    assert digits_space.contains(child)
    assert digits_space.contains(vary.mutate(mother, rng))
    assert child.embed_dim in (mother.embed_dim, father.embed_dim)
    assert child.depth in (mother.depth, father.depth)
    for index, block in enumerate(child.blocks):
        parents = [p.blocks[index] for p in (mother, father) if index < p.depth]
        assert block.num_heads in [p.num_heads for p in parents]
        assert block.mlp_ratio in [p.mlp_ratio for p in parents]


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
