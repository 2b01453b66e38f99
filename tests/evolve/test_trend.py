from __future__ import annotations

import numpy as np
import pytest

from evolve.trend import TrendConfig, fit_trend, propose, threshold_step

# The worked example of MCUFormer's code, with the sign that climbs (method page, 3.4).
POINTS = np.array([[0.9, 16], [0.6, 16], [0.65, 28], [0.95, 28], [0.85, 20]])
ACCURACY = np.array([66.298, 60.6, 45.119, 57.52, 61.2])
ADMITTED = np.array([0.384, 0.666, 1.0, 1.0, 1.0])


def slopes(values: np.ndarray) -> np.ndarray:
    return fit_trend(POINTS, values, POINTS[0], np.ones(2), k=5, ridge=0.0).slopes


def test_golden_slopes() -> None:
    assert slopes(100 - ACCURACY) == pytest.approx([-29.6733, 1.12705], rel=1e-5)
    assert slopes(1 - ADMITTED) == pytest.approx([0.226834, -0.0368810], rel=1e-5)


def test_golden_step() -> None:
    """Truncation toward zero, ascending on accuracy and on admission, gives (+0.05, 0)."""
    rise = threshold_step(slopes(ACCURACY), (10.0, 20.0), max_step=3)
    fall = threshold_step(slopes(ADMITTED), (0.2, 2.0), max_step=3)
    total = np.add(rise, fall) * (0.05, 4)
    assert total == pytest.approx([0.05, 0.0])


def test_a_joint_fit_has_the_weighted_slope() -> None:
    joint = slopes(ACCURACY + 10 * ADMITTED)
    assert joint == pytest.approx(slopes(ACCURACY) + 10 * slopes(ADMITTED))


def test_steps_are_truncated_and_clipped() -> None:
    assert threshold_step(np.array([0.49, -0.49]), (0.5, 0.5), 2) == (0, 0)
    assert threshold_step(np.array([-0.6, 7.0]), (0.5, 0.5), 2) == (-1, 2)


def plane(index: tuple[int, int]) -> float:
    return 50.0 + 1.1 * index[0] - 0.6 * index[1]


def test_the_trend_leads_uphill() -> None:
    visited = [(2, 2), (3, 2), (2, 3), (3, 3), (1, 2)]
    proposal = propose((8, 6), visited, [plane(v) for v in visited], TrendConfig(ridge=0.0))
    assert proposal is not None
    assert (proposal.rule, proposal.index) == ("trend", (5, 1))
    assert proposal.trend.slopes == pytest.approx([1.1, -0.6])
    assert proposal.trend.residual == pytest.approx(0.0, abs=1e-9)


def test_a_visited_target_gives_way_to_the_best_fresh_neighbour() -> None:
    visited = [(2, 0), (2, 1), (0, 2), (0, 0), (1, 2)]  # the best is the corner (2, 0)
    proposal = propose((3, 4), visited, [plane(v) for v in visited], TrendConfig())
    assert proposal is not None
    assert (proposal.rule, proposal.index) == ("neighbour", (1, 0))  # and not (1, 1)


def test_it_ends_when_every_neighbour_is_known() -> None:
    visited = [(i, j) for i in range(3) for j in range(3)]
    assert propose((3, 3), visited, [plane(v) for v in visited], TrendConfig()) is None


def test_inadmissible_points_are_left_out_of_the_fit() -> None:
    visited = [(2, 2), (3, 2), (2, 3), (3, 3), (1, 2), (2, 1)]
    scores = [plane(v) for v in visited[:-1]]
    proposal = propose((8, 6), visited, [*scores, None], TrendConfig(ridge=0.0))
    assert proposal is not None
    assert proposal.trend.slopes == pytest.approx([1.1, -0.6])
