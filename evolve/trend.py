"""The space search's step: a local linear trend of the score over the nearest visited points.

Source: MCUFormer, section 3.1 (piecewise-linear fit over k nearest neighbours), corrected as
DESIGN.md says: ascent, normalised distances, ridge, truncation toward zero, a neighbour rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from mcuformer.subnet import PositiveInt
from mcuformer.value import Value

Array = npt.NDArray[Any]
Index = tuple[int, int]


class TrendConfig(Value):
    """The piecewise-linear trend search.

    Args:
        k: neighbours in a fit.
        tau: score points per grid step and coordinate that make one step.
        lambda_rho: weight of the admitted fraction in the score.
        initial_points: random points visited first.
        visit_epochs: T0, supernet epochs a visit trains.
        max_visits: budget, initial points included.
        num_samples: subnets sampled for the admitted fraction.
        accuracy_subnets: admitted subnets whose mean accuracy scores a point.
        ridge: of the least squares.
        max_step: largest move along a coordinate, in grid steps.
    """

    name: Literal["trend"] = "trend"
    k: Annotated[int, Field(ge=3)] = 5
    tau: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (0.5, 0.5)
    lambda_rho: Annotated[float, Field(ge=0)] = 10.0
    initial_points: Annotated[int, Field(ge=3)] = 6
    visit_epochs: PositiveInt = 30
    max_visits: PositiveInt = 30
    num_samples: PositiveInt = 500
    accuracy_subnets: PositiveInt = 20
    ridge: Annotated[float, Field(ge=0)] = 1e-3
    max_step: PositiveInt = 2


@dataclass(frozen=True)
class Trend:
    """A fitted plane: slopes (d,) in score per unit of each coordinate, and the intercept."""

    slopes: Array
    intercept: float
    neighbours: tuple[int, ...]
    residual: float

    def predict(self, at: Array) -> float:
        """Return the plane's score at coordinates (d,)."""
        return float(self.intercept + self.slopes @ at)


def nearest(points: Array, at: Array, spans: Array, k: int) -> Array:
    """Return indices of the k points (n, d) nearest to `at` (d,), in units of `spans` (d,)."""
    distances = np.linalg.norm((points - at) / spans, axis=1)
    return np.argsort(distances, kind="stable")[:k]


def fit_trend(points: Array, scores: Array, at: Array, spans: Array, k: int, ridge: float) -> Trend:
    """Fit a plane to the scores of the k points nearest to `at`.

    Args:
        points: (n, d). scores: (n,). at: (d,). spans: extent of each coordinate, (d,).
        ridge: penalty on the slopes (not the intercept); 0 is ordinary least squares.
    """
    from sklearn.linear_model import LinearRegression, Ridge

    chosen = nearest(points, at, spans, k)
    model = Ridge(alpha=ridge) if ridge > 0 else LinearRegression()
    model.fit(points[chosen], scores[chosen])
    errors = scores[chosen] - model.predict(points[chosen])
    return Trend(
        slopes=np.asarray(model.coef_, dtype=np.float64),
        intercept=float(model.intercept_),
        neighbours=tuple(int(i) for i in chosen),
        residual=float(np.sqrt(np.mean(errors**2))),
    )


def threshold_step(slopes: Array, tau: Sequence[float], max_step: int) -> tuple[int, ...]:
    """Return the ascent step in grid units: slope / tau, truncated toward zero and clipped.

    >>> threshold_step(np.array([1.4, -0.3]), (0.5, 0.5), 2)
    (2, 0)
    """
    steps = np.trunc(np.asarray(slopes) / np.asarray(tau))
    return tuple(int(step) for step in np.clip(steps, -max_step, max_step))


@dataclass(frozen=True)
class Proposal:
    """The next grid point to visit, and why."""

    index: Index
    rule: Literal["trend", "neighbour"]
    trend: Trend
    step: tuple[int, ...]


def propose(
    shape: Index, visited: Sequence[Index], scores: Sequence[float | None], config: TrendConfig
) -> Proposal | None:
    """Propose where to go from the best point, or None where the search is stationary.

    The step follows the trend; where it is zero or leads to a visited point, the unvisited grid
    neighbour of the best point with the highest fitted score is next.

    Args:
        shape: number of choices of each coordinate.
        visited: grid indices, in order.
        scores: of each visited point; None where no subnet was admissible.
    """
    scored = [i for i, score in enumerate(scores) if score is not None]
    points = np.array([visited[i] for i in scored], dtype=np.float64)
    values = np.array([scores[i] for i in scored], dtype=np.float64)
    best = visited[scored[int(np.argmax(values))]]
    spans = np.maximum(np.array(shape) - 1, 1)
    trend = fit_trend(points, values, np.array(best), spans, config.k, config.ridge)
    step = threshold_step(trend.slopes, config.tau, config.max_step)
    target = (_clip(best[0] + step[0], shape[0]), _clip(best[1] + step[1], shape[1]))
    if target not in visited:
        return Proposal(target, "trend", trend, step)
    around = [
        (best[0] + down, best[1] + right)
        for down, right in product((-1, 0, 1), repeat=2)
        if 0 <= best[0] + down < shape[0] and 0 <= best[1] + right < shape[1]
    ]
    fresh = [index for index in around if index not in visited]
    if not fresh:
        return None
    chosen = max(fresh, key=lambda index: trend.predict(np.array(index)))
    return Proposal(chosen, "neighbour", trend, step)


def _clip(index: int, length: int) -> int:
    return min(max(index, 0), length - 1)
