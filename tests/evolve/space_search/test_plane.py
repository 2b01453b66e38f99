from __future__ import annotations

import numpy as np
import pytest

from evolve.space_search.history import Visit
from evolve.space_search.plane import (
    fit_around,
    fit_trend,
    floor_step,
    moved,
    nearest,
    neighbours,
    threshold_step,
)

# Five visits: rank ratio and patch size, accuracy in percent, admitted share. The slopes below are
# those of numpy.linalg.lstsq with an intercept.
POINTS = np.array([[0.9, 16], [0.6, 16], [0.65, 28], [0.95, 28], [0.85, 20]])
ACCURACY = np.array([66.298, 60.6, 45.119, 57.52, 61.2])
ADMITTED = np.array([0.384, 0.666, 1.0, 1.0, 1.0])
TAU_ACCURACY, TAU_ADMITTED = (10.0, 20.0), (0.2, 2.0)
SPACING = (0.05, 4)


def slopes(values: np.ndarray) -> np.ndarray:
    return fit_trend(POINTS, values, POINTS[0], np.ones(2), k=5, ridge=0.0).slopes


def test_golden_slopes() -> None:
    assert slopes(100 - ACCURACY) == pytest.approx([-29.6733, 1.12705], rel=1e-5)
    assert slopes(1 - ADMITTED) == pytest.approx([0.226834, -0.0368810], rel=1e-5)


def test_golden_steps() -> None:
    """Descent on error and excess: negated after the floor, before it, rounded, and truncated."""
    error, excess = slopes(100 - ACCURACY), slopes(1 - ADMITTED)
    after = -np.add(floor_step(error, TAU_ACCURACY), floor_step(excess, TAU_ADMITTED))
    assert after * SPACING == pytest.approx([0.10, 4.0])
    before = np.add(floor_step(-error, TAU_ACCURACY), floor_step(-excess, TAU_ADMITTED))
    assert before * SPACING == pytest.approx([0.0, -4.0])
    rounded = np.rint(-error / TAU_ACCURACY) + np.rint(-excess / TAU_ADMITTED)
    assert rounded * SPACING == pytest.approx([0.10, 0.0])
    truncated = np.add(
        threshold_step(-error, TAU_ACCURACY, 3), threshold_step(-excess, TAU_ADMITTED, 3)
    )
    assert truncated * SPACING == pytest.approx([0.05, 0.0])


def test_golden_second_generation_example() -> None:
    points = np.array([[0.4, 16], [0.7, 16], [0.8, 16], [0.4, 24], [0.5, 24]])
    accuracy = np.array([0.461, 0.624, 0.651, 0.404, 0.456])
    excess = 1 - np.array([0.66, 0.30, 0.32, 1.0, 1.0])
    fit = [fit_trend(points, v, points[0], np.ones(2), 5, 0.0).slopes for v in (accuracy, excess)]
    assert fit[0] == pytest.approx([0.492364, -0.0073], abs=5e-5)
    assert fit[1] == pytest.approx([0.88, -0.0515], abs=5e-4)


def test_a_joint_fit_has_the_weighted_slope() -> None:
    joint = slopes(ACCURACY + 10 * ADMITTED)
    assert joint == pytest.approx(slopes(ACCURACY) + 10 * slopes(ADMITTED))


def test_the_fit_equals_an_independent_ridge() -> None:
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    points, scores = rng.integers(0, 9, (7, 3)).astype(float), rng.normal(size=7)
    at, spans = points[2], np.array([8.0, 4.0, 2.0])
    ours = fit_trend(points, scores, at, spans, k=6, ridge=0.3)
    chosen = np.argsort(np.linalg.norm((points - at) / spans, axis=1), kind="stable")[:6]
    model = Ridge(alpha=0.3).fit(points[chosen], scores[chosen])
    assert ours.slopes == pytest.approx(model.coef_)
    assert ours.intercept == pytest.approx(model.intercept_)
    assert ours.predict(at) == pytest.approx(model.predict(at[None])[0])


def test_distances_are_normalised() -> None:
    points = np.array([[0, 0], [4, 0], [0, 1]])
    assert list(nearest(points, np.array([0, 0]), np.array([11, 2]), 2)) == [0, 1]


def test_steps_are_truncated_floored_and_stopped_at_the_border() -> None:
    assert threshold_step(np.array([0.49, -0.49]), (0.5, 0.5), 2) == (0, 0)
    assert threshold_step(np.array([-0.6, 7.0]), (0.5, 0.5), 2) == (-1, 2)
    assert floor_step(np.array([0.49, -0.01]), (0.5, 0.5)) == (0, -1)
    assert moved((0, 3), (-2, 4), (5, 6)) == (0, 5)
    assert neighbours((0, 0, 1), (3, 1, 2)) == [(0, 0, 0), (1, 0, 0), (1, 0, 1)]


def test_collinear_neighbours_do_not_break_the_fit() -> None:
    visits = [
        Visit(
            index=(i, 2),
            epochs=10,
            admitted_fraction=1.0,
            accuracy_percent=None,
            score=50.0 + i,
            sram_bytes=None,
            rule="initial",
        )
        for i in range(5)
    ]
    trend = fit_around(visits, (2, 2), (tuple(range(8)), tuple(range(6))), "grid", k=5, ridge=1e-3)
    assert trend.slopes == pytest.approx([1.0, 0.0], abs=1e-3)
