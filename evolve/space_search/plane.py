"""The space search's step: a local linear trend of the score over the nearest visited points.

Source: MCUFormer, section 3.1 (piecewise-linear fit over the k nearest neighbours), corrected: the
step climbs (the released code's descends), distances are in units of the grid's extent, the fit has
a ridge, and steps are truncated toward zero instead of floored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from evolve.space_search.history import Index, Visit
from evolve.space_search.scale import Amounts, Scale, located

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Trend:
    """A fitted plane ``intercept + slopes . x``.

    Args:
        slopes: score points per unit of each coordinate, (d,).
        intercept: score at the origin.
        neighbours: numbers of the points that were fitted.
        residual: root mean square error over these points, in score points.
    """

    slopes: Array
    intercept: float
    neighbours: tuple[int, ...]
    residual: float

    def predict(self, point: Array) -> float:
        """Return the plane's score at a point (d,)."""
        return float(self.intercept + self.slopes @ point)

    def dump(
        self, origin: Index, neighbours: Sequence[Index], step: Sequence[int]
    ) -> dict[str, Any]:
        """Return the fit and the step from `origin` as plain containers, for the journal."""
        return {
            "origin": list(origin),
            "slopes": [float(slope) for slope in self.slopes],
            "intercept": self.intercept,
            "neighbours": [list(index) for index in neighbours],
            "residual": self.residual,
            "step": list(step),
        }


def nearest(points: Array, centre: Array, spans: Array, k: int) -> Array:
    """Return the numbers of the k points nearest to `centre`, the nearest first.

    Of equally near points the earlier one comes first, so that the choice is reproducible.

    Args:
        points: coordinates, (n, d).
        centre: point that distances are measured from, (d,).
        spans: unit of distance along each coordinate, (d,).
        k: number of points.
    """
    distances = np.linalg.norm((points - centre) / spans, axis=1)
    return np.argsort(distances, kind="stable")[:k]


def fit_trend(
    points: Array, scores: Array, centre: Array, spans: Array, k: int, ridge: float
) -> Trend:
    """Fit a plane to the scores of the k points nearest to `centre`.

    Minimises sum_i (y_i - a - b . x_i)^2 + ridge |b|^2 over intercept a and slopes b. At the
    minimum a = mean(y) - b . mean(x), so b fits the centred data and the intercept is not
    penalised. The penalty is d further rows sqrt(ridge) b = 0 of the least squares; it decides
    where the points do not, for instance when they share a coordinate.

    Args:
        points: coordinates, (n, d).
        scores: score of each point, (n,).
        centre: point to fit around, (d,).
        spans: unit of distance along each coordinate, (d,).
        k: number of points to fit.
        ridge: penalty on the squared slopes; 0 is ordinary least squares.
    """
    chosen = nearest(points, centre, spans, k)
    x, y = points[chosen].astype(np.float64), scores[chosen].astype(np.float64)
    mean_x, mean_y = x.mean(axis=0), y.mean()
    rows = np.vstack([x - mean_x, np.sqrt(ridge) * np.eye(x.shape[1])])
    target = np.concatenate([y - mean_y, np.zeros(x.shape[1])])
    slopes = np.linalg.lstsq(rows, target, rcond=None)[0]
    intercept = float(mean_y - slopes @ mean_x)
    errors = y - (x @ slopes + intercept)
    return Trend(slopes, intercept, tuple(map(int, chosen)), float(np.sqrt(np.mean(errors**2))))


def threshold_step(slopes: Array, tau: Sequence[float], max_step: int) -> tuple[int, ...]:
    """Return the ascent step in grid steps: slope / tau, truncated toward zero and clipped.

    Truncation treats both directions alike: a slope below tau, up or down, is noise and stays.

    Args:
        slopes: score points per grid step, (d,).
        tau: slope that makes one step, per axis.
        max_step: largest step along an axis.

    >>> threshold_step(np.array([1.4, -0.3]), (0.5, 0.5), 2)
    (2, 0)
    """
    steps = np.trunc(np.asarray(slopes) / np.asarray(tau))
    return tuple(int(step) for step in np.clip(steps, -max_step, max_step))


def floor_step(slopes: Array, tau: Sequence[float]) -> tuple[int, ...]:
    """Return the paper's literal step, floor(slope / tau), unclipped (MCUFormer, section 3.1).

    Floor moves one step down at any slope below zero, but one step up only from tau on;
    :func:`threshold_step` stays in both cases.

    >>> floor_step(np.array([1.4, -0.3]), (0.5, 0.5))
    (2, -1)
    """
    return tuple(int(step) for step in np.floor(np.asarray(slopes) / np.asarray(tau)))


def moved(index: Index, step: Sequence[int], shape: Sequence[int]) -> Index:
    """Return `index` moved by `step`, clipped to the grid.

    >>> moved((3, 1), (2, -1), shape=(5, 4))
    (4, 0)
    """
    return tuple(
        min(max(i + s, 0), length - 1) for i, s, length in zip(index, step, shape, strict=True)
    )


def neighbours(index: Index, shape: Sequence[int]) -> list[Index]:
    """Return the other grid points at most one step away along every axis, sorted.

    >>> neighbours((0, 1), shape=(5, 4))
    [(0, 0), (0, 2), (1, 0), (1, 1), (1, 2)]
    """
    reached = {moved(index, step, shape) for step in product((-1, 0, 1), repeat=len(shape))}
    return sorted(reached - {index})


def fit_around(
    visits: Sequence[Visit], index: Index, axes: Amounts, scale: Scale, k: int, ridge: float
) -> Trend:
    """Fit the trend around a grid point, with slopes in score points per mean grid step.

    Args:
        visits: scored visits of equal total epochs; a longer training scores higher anywhere.
        index: grid point to fit around.
        axes: what the choices of each axis amount to; distances are in units of the grid's extent.
        scale: how the choices are spaced, see :func:`located`.
        k: number of points to fit.
        ridge: penalty on the squared slopes.
    """
    points = located([visit.index for visit in visits], axes, scale)
    scores = np.array([visit.score for visit in visits], dtype=np.float64)
    return fit_trend(points, scores, located([index], axes, scale)[0], spans(axes), k, ridge)


def spans(axes: Amounts) -> Array:
    """Return the grid's extent along each axis in grid steps, at least 1."""
    return np.maximum([len(choices) - 1 for choices in axes], 1)
