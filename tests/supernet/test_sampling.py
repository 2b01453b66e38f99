"""What each rule draws, and that it is a function of the seed, the epoch and the step."""

from __future__ import annotations

from itertools import pairwise

import pytest

from mcuformer.device import BudgetConfig, Device
from mcuformer.errors import BudgetError, ConfigError
from mcuformer.space import SearchSpace
from oplib.target.target import Target
from supernet.sampling import (
    BudgetAwareSampling,
    Pool,
    SandwichSampling,
    UniformSampling,
    build_sampler,
)

STEPS = 200


@pytest.fixture(scope="module")
def pool(digits_space: SearchSpace, stm32f100: Device) -> Pool:
    target = Target(stm32f100, BudgetConfig(flash_bytes=60_000))
    points = (digits_space.point_at((1, 2)),)
    return Pool(digits_space, points, 3, target.admits)


def test_draws_depend_on_seed_epoch_and_step_alone(pool: Pool) -> None:
    for config in (
        UniformSampling(name="uniform"),
        SandwichSampling(name="sandwich"),
        BudgetAwareSampling(name="budget_aware"),
    ):
        one, two = (build_sampler(config, pool, STEPS) for _ in range(2))
        two(4, 7)  # in another order
        assert [one(0, step) for step in range(9)] == [two(0, step) for step in range(9)]
        assert one(0, 3) != one(1, 3)


def test_admissible_draws_are_as_many_as_asked(pool: Pool, digits_space: SearchSpace) -> None:
    drawn = pool.draw_admitted(5, "validation", 1)
    assert drawn == pool.draw_admitted(5, "validation", 1) != pool.draw_admitted(5, "validation", 2)
    assert drawn[:2] == pool.draw_admitted(2, "validation", 1)
    assert pool.admissible is not None
    assert len(drawn) == 5
    assert all(map(pool.admissible, drawn))
    assert Pool(digits_space, pool.points, 3, lambda _: False).draw_admitted(5, "x") == []


def test_sandwich_holds_the_feasible_extremes(pool: Pool, digits_space: SearchSpace) -> None:
    sampler = build_sampler(SandwichSampling(name="sandwich", num_random=2), pool, STEPS)
    visits = sampler(0, 0)
    first, second, *others = (visit.subnet for visit in visits)
    assert (len(others), sampler.in_place_weight) == (2, 0.5)
    images = list(range(10))  # the largest sees all, the others share them out
    assert [images[visit.images] for visit in visits] == [
        images,
        [0, 3, 6, 9],
        [1, 4, 7],
        [2, 5, 8],
    ]
    assert second == digits_space.smallest(pool.points[0])
    assert first != digits_space.largest(pool.points[0])  # which does not fit
    assert pool.admissible is not None
    assert pool.admissible(first)
    assert first.macs == max(s.macs for s in pool.admitted())
    unlimited = Pool(digits_space, pool.points, 3)
    assert build_sampler(SandwichSampling(name="sandwich"), unlimited, STEPS)(0, 0)[0].subnet == (
        digits_space.largest(pool.points[0])
    )


def test_budget_aware_draws_fit_and_change_little(pool: Pool) -> None:
    sampler = build_sampler(BudgetAwareSampling(name="budget_aware", levels=4), pool, STEPS)
    drawn = [sampler(0, step)[0].subnet for step in range(STEPS)]
    assert pool.admissible is not None
    assert all(pool.admissible(subnet) for subnet in drawn)
    order = [s.macs for s in pool.admitted(0)]
    ranks = [order.index(s.macs) / len(order) for s in drawn]
    assert max(abs(b - a) for a, b in pairwise(ranks)) < 0.5 + 0.05
    assert max(ranks) > 0.75
    assert min(ranks) < 0.25  # the walk reaches both ends


def test_impossible_budgets_are_told(pool: Pool, digits_space: SearchSpace) -> None:
    nothing = Pool(digits_space, pool.points, 0, lambda _: False)
    with pytest.raises(BudgetError, match="space: none of 514 subnets fits"):
        build_sampler(SandwichSampling(name="sandwich"), nothing, STEPS)
    unlimited = Pool(digits_space, pool.points, 0)
    with pytest.raises(ConfigError, match="device: sampling=budget_aware needs"):
        build_sampler(BudgetAwareSampling(name="budget_aware"), unlimited, STEPS)
