"""Selectors on made-up landscapes with known scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from evolve.space_search.axis_climbing import AxisClimbingConfig
from evolve.space_search.gaussian_process import GaussianProcessConfig, expected_improvement
from evolve.space_search.hill_climbing import HillClimbingConfig
from evolve.space_search.history import History, Index, Visit
from evolve.space_search.joint import JointConfig
from evolve.space_search.landscape import shuffled, stratified
from evolve.space_search.largest import LargestConfig
from evolve.space_search.random_points import RandomConfig
from evolve.space_search.selectors import SelectorConfig
from evolve.space_search.tinynas import TinynasConfig
from evolve.space_search.trend import TrendConfig
from evolve.space_search.trend_paper import TrendPaperConfig
from mcuformer.errors import ConfigError


class MadeUp:
    """A landscape without noise; `truth` returns None for points where nothing fits."""

    def __init__(self, shape: tuple[int, ...], truth: Callable[[Index], float | None]) -> None:
        self.shape, self.truth, self.history = shape, truth, History()
        self.axes = tuple(tuple(2.0**i for i in range(length)) for length in shape)

    def visit(self, index: Index, rule: str, fit: dict[str, Any] | None = None) -> Visit:
        value = self.truth(index)
        visit = Visit(
            index=index,
            epochs=0 if value is None else self.history.epochs(index) + 10,
            admitted_fraction=0.0 if value is None else 1.0,
            accuracy_percent=None,
            score=value,
            sram_bytes=100.0 * sum(index),
            rule=rule,
            fit=fit,
        )
        self.history.add(visit)
        return visit

    def admitted_macs(self, index: Index) -> list[int]:
        value = self.truth(index)
        return [] if value is None else [int(value), int(value) + 2 * sum(index)]

    def train_jointly(self, epochs: int) -> list[Visit]:
        assert epochs == 300
        return [self.visit(index, "joint") for index in np.ndindex(*self.shape)]


def cone(peak: Index) -> Callable[[Index], float]:
    return lambda index: 70.0 - 1.3 * sum(abs(a - b) for a, b in zip(index, peak, strict=True))


def choose(config: SelectorConfig, landscape: MadeUp, seed: int = 0) -> Index:
    return config.select(landscape, np.random.default_rng(seed))


@pytest.mark.parametrize("shape", [(12, 5), (6, 5, 4), (4, 4, 3, 2)])
@pytest.mark.parametrize("seed", range(4))
def test_the_trend_finds_the_peak_in_any_dimension(shape: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    peak = tuple(int(rng.integers(length)) for length in shape)
    landscape = MadeUp(shape, cone(peak))
    assert choose(TrendConfig(visit_epochs=10, max_visits=30), landscape, seed) == peak
    assert len(landscape.history) <= 30
    explored = [v for v in landscape.history.visits if v.rule != "promotion"]
    assert len({v.index for v in explored}) == len(explored)


def test_the_trend_trains_the_best_on_when_stationary() -> None:
    landscape = MadeUp((3, 3), cone((1, 1)))
    choose(TrendConfig(visit_epochs=10, max_visits=30), landscape)
    promoted = [v for v in landscape.history.visits if v.rule == "promotion"]
    assert promoted[0].epochs == 20
    assert landscape.history.count((1, 1)) <= 4
    assert len(landscape.history) <= 30


def test_inadmissible_points_are_left_out() -> None:
    def truth(index: Index) -> float | None:
        return None if index[0] > 5 else cone((8, 2))(index)

    landscape = MadeUp((12, 5), truth)
    assert choose(TrendConfig(visit_epochs=10, max_visits=30), landscape) == (5, 2)
    fitted = [v.fit["neighbours"] for v in landscape.history.visits if v.fit]
    assert all(index[0] <= 5 for rows in fitted for index in rows)


def test_one_admissible_point_is_found_beyond_the_budget() -> None:
    def truth(index: Index) -> float | None:
        return 60.0 if index == (1, 2) else None

    for config in (TrendConfig(max_visits=4), TrendPaperConfig(max_visits=4), RandomConfig()):
        for seed in range(3):
            landscape = MadeUp((4, 3), truth)
            assert choose(config.model_copy(update={"visit_epochs": 10}), landscape, seed) == (1, 2)


@pytest.mark.parametrize("config", [HillClimbingConfig, AxisClimbingConfig])
@pytest.mark.parametrize("shape", [(12, 5), (4, 4, 3, 2)])
def test_climbing_goes_from_neighbour_to_neighbour(
    config: type[HillClimbingConfig | AxisClimbingConfig], shape: tuple[int, ...]
) -> None:
    peak = tuple(length // 2 for length in shape)
    landscape = MadeUp(shape, cone(peak))
    assert choose(config(visit_epochs=10, max_visits=90), landscape) == peak
    visits = [visit for visit in landscape.history.visits if visit.epochs == 10]
    for number, visit in enumerate(visits):
        if visit.rule == "neighbour":
            best = max(visits[:number], key=lambda v: v.rank).index
            assert max(abs(a - b) for a, b in zip(visit.index, best, strict=True)) == 1


def test_axes_come_before_diagonals() -> None:
    """Around the top of a cone, whose 4 neighbours on the axes are visited before the 4 others."""
    landscape = MadeUp((3, 3), cone((1, 1)))
    config = AxisClimbingConfig(visit_epochs=10, max_visits=30, initial_points=3)
    assert choose(config, landscape) == (1, 1)
    explored = [v.index for v in landscape.history.visits if v.rule == "neighbour"]
    after = explored[explored.index((1, 1)) + 1 :] if (1, 1) in explored else explored
    away = [abs(row - 1) + abs(column - 1) for row, column in after]
    assert away == sorted(away)


@pytest.mark.parametrize(("mean", "deviation", "best"), [(0.3, 0.5, 0.0), (-1.0, 2.0, 0.5)])
def test_expected_improvement_is_an_integral(mean: float, deviation: float, best: float) -> None:
    integral, _ = quad(lambda y: (y - best) * norm.pdf(y, mean, deviation), best, np.inf)
    found = expected_improvement(np.array([mean]), np.array([deviation]), best)
    assert found == pytest.approx([integral])


@pytest.mark.parametrize("shape", [(12, 5), (6, 5, 4)])
def test_the_process_finds_the_peak_of_a_quarter_of_the_grid(shape: Index) -> None:
    peak = tuple(length // 2 for length in shape)
    landscape = MadeUp(shape, cone(peak))
    quarter = int(np.prod(shape)) // 4
    assert choose(GaussianProcessConfig(visit_epochs=10, max_visits=quarter), landscape) == peak
    rules = [visit.rule for visit in landscape.history.visits]
    assert rules == ["initial"] * 6 + ["expected improvement"] * (quarter - 6)


def test_the_process_looks_through_the_noise() -> None:
    """Scores that alternate by 3 up and down a hill: a lucky one is not chosen."""
    truth = 60.0 - 0.2 * np.abs(np.arange(32) - 20.0)
    noise = 1.5 * (-1.0) ** np.arange(32)
    noise[3] = 6.0  # the best score of all, 3.4 points below the top
    landscape = MadeUp((32, 1), lambda index: float((truth + noise)[index[0]]))
    for index in np.ndindex(32, 1):
        landscape.visit(index, "initial")
    assert landscape.history.visits[3] == max(landscape.history.visits, key=lambda v: v.score)
    best = GaussianProcessConfig(visit_epochs=10).ranked(landscape)[0]
    assert abs(best.index[0] - 20) <= 8


VISITING = (
    TrendConfig,
    TrendPaperConfig,
    HillClimbingConfig,
    AxisClimbingConfig,
    GaussianProcessConfig,
    RandomConfig,
)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4).filter(lambda s: np.prod(s) >= 5),
    missing=st.floats(0.0, 0.9),
    selector=st.sampled_from(VISITING),
    visits=st.integers(1, 30),
    seed=st.integers(0, 2**31),
)
def test_any_grid_gets_a_point_with_a_score_within_the_visits(
    shape: list[int], missing: float, selector: type[Any], visits: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(40, 60, size=shape).astype(float)
    fits = rng.uniform(size=shape) >= missing
    fits.flat[int(rng.integers(fits.size))] = True
    landscape = MadeUp(tuple(shape), lambda i: float(scores[i]) if fits[i] else None)
    chosen = choose(selector(visit_epochs=10, max_visits=visits), landscape, seed)
    assert fits[chosen]
    assert chosen in landscape.history.seen()
    before = [visit.score for visit in landscape.history.visits[:visits]]
    # more visits than allowed only until the first score
    assert len(landscape.history) <= visits or before == [None] * visits
    assert landscape.history.visits[-1].score is not None or len(landscape.history) <= visits


def test_visits_are_a_third_of_the_grid() -> None:
    assert TrendConfig().visits((12, 5)) == TrendConfig().visits((10, 6)) == 20
    assert TrendConfig().visits((4, 4)) == 8  # k + 3
    assert TrendConfig(k=7).visits((4, 4)) == 10
    assert RandomConfig().visits((5, 5)) == 9  # 25 / 3, rounded up
    assert RandomConfig(max_visits=3).visits((12, 5)) == 3


def test_the_papers_rule_walks_and_counts_visits() -> None:
    landscape = MadeUp((12, 5), cone((6, 2)))
    chosen = choose(TrendPaperConfig(visit_epochs=10, max_visits=30), landscape)
    history = landscape.history
    counts = {visit.index: history.count(visit.index) for visit in history.visits}
    assert counts[chosen] == max(counts.values())
    assert len(history) <= 30
    totals = [v.epochs for v in history.visits if v.index == chosen]
    assert totals == [10 * (i + 1) for i in range(len(totals))]


def test_an_empty_neighbourhood_promotes_the_nearest() -> None:
    """Repeated visits train one point further; its neighbours must catch up to be comparable."""
    landscape = MadeUp((12, 5), lambda index: 50.0)  # flat: every step is zero
    choose(TrendPaperConfig(visit_epochs=10, max_visits=20), landscape)
    rules = [visit.rule for visit in landscape.history.visits]
    assert rules[:7] == ["initial"] * 6 + ["step"]
    assert rules[7:12] == ["promotion"] * 5
    assert all(v.epochs == 20 for v in landscape.history.visits[6:12])


def test_random_takes_the_best_observed() -> None:
    landscape = MadeUp((12, 5), cone((6, 2)))
    chosen = choose(RandomConfig(max_visits=10), landscape)
    assert len(landscape.history.seen()) == len(landscape.history) == 10
    assert chosen == max(landscape.history.visits, key=lambda v: v.score).index


def test_selectors_without_training() -> None:
    def truth(index: Index) -> float | None:
        return None if index == (3, 3) else 10.0 * index[0] + index[1]

    for config, expected in (
        (LargestConfig(), (3, 2)),
        (TinynasConfig(), (3, 2)),
        (TinynasConfig(quantile=0.9), (3, 2)),
    ):
        landscape = MadeUp((4, 4), truth)
        assert choose(config, landscape) == expected
        assert len(landscape.history) == 0


def test_joint_scores_every_point_once() -> None:
    landscape = MadeUp((4, 3), cone((2, 1)))
    assert choose(JointConfig(max_visits=10, visit_epochs=30), landscape) == (2, 1)
    assert len(landscape.history) == 12


def test_ties_go_to_the_smaller_footprint() -> None:
    landscape = MadeUp((3, 3), lambda index: 50.0)
    assert choose(RandomConfig(max_visits=9), landscape) == (0, 0)


def test_initial_points_spread_over_every_axis() -> None:
    rng = np.random.default_rng(0)
    points = stratified((12, 5), 6, rng)
    assert len(set(points)) == 6
    assert len({index[0] // 2 for index in points}) == 6  # one in each sixth of the long axis
    assert {index[1] for index in points} == set(range(5))
    assert sorted(stratified((2, 2), 4, rng)) == sorted(shuffled((2, 2), rng))


def test_grids_a_selector_cannot_work_on_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"space_search\.k: the grid has fewer points than k"):
        TrendConfig(k=7).check((3, 2))
    with pytest.raises(ConfigError, match=r"space_search\.tau: needs one value per axis"):
        TrendConfig(tau=(0.5, 0.5, 0.5)).check((12, 5))
    TrendConfig(tau=(0.5, 0.7)).check((12, 5))
