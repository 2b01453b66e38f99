"""The space search's step: a local linear trend of the score over the nearest visited points.

Source: MCUFormer, section 3.1 (piecewise-linear fit over k nearest neighbours), corrected as
DESIGN.md says: ascent, normalised distances, ridge, truncation toward zero, a neighbour rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from evolve.space_search.history import Index, Visit

Array = npt.NDArray[Any]


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

    def dump(
        self, origin: Index, neighbours: Sequence[Index], step: Sequence[int]
    ) -> dict[str, Any]:
        """Return every number of the fit and of the step from `origin`, for the journal."""
        return {
            "origin": list(origin),
            "slopes": [float(slope) for slope in self.slopes],
            "intercept": self.intercept,
            "neighbours": [list(index) for index in neighbours],
            "residual": self.residual,
            "step": list(step),
        }


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
    chosen = nearest(points, at, spans, k)
    x, y = points[chosen].astype(np.float64), scores[chosen].astype(np.float64)
    centre, level = x.mean(axis=0), y.mean()
    rows = np.vstack([x - centre, np.sqrt(ridge) * np.eye(x.shape[1])])
    target = np.concatenate([y - level, np.zeros(x.shape[1])])
    slopes = np.linalg.lstsq(rows, target, rcond=None)[0]
    intercept = float(level - slopes @ centre)
    errors = y - (x @ slopes + intercept)
    return Trend(slopes, intercept, tuple(map(int, chosen)), float(np.sqrt(np.mean(errors**2))))


def threshold_step(slopes: Array, tau: Sequence[float], max_step: int) -> tuple[int, ...]:
    """Return the ascent step in grid units: slope / tau, truncated toward zero and clipped.

    >>> threshold_step(np.array([1.4, -0.3]), (0.5, 0.5), 2)
    (2, 0)
    """
    steps = np.trunc(np.asarray(slopes) / np.asarray(tau))
    return tuple(int(step) for step in np.clip(steps, -max_step, max_step))


def floor_step(slopes: Array, tau: Sequence[float]) -> tuple[int, ...]:
    """Return the paper's literal step, floor(slope / tau), unclipped (MCUFormer, section 3.1).

    A slope just below zero already leads one step down, where :func:`threshold_step` stays.

    >>> floor_step(np.array([1.4, -0.3]), (0.5, 0.5))
    (2, -1)
    """
    return tuple(int(step) for step in np.floor(np.asarray(slopes) / np.asarray(tau)))


def moved(index: Index, step: Sequence[int], shape: Sequence[int]) -> Index:
    """Return the grid point a step leads to, stopped at the grid's borders.

    >>> moved((3, 1), (2, -1), shape=(5, 4))
    (4, 0)
    """
    return tuple(
        min(max(i + s, 0), length - 1) for i, s, length in zip(index, step, shape, strict=True)
    )


def neighbours(index: Index, shape: Sequence[int]) -> list[Index]:
    """Return the grid points at most one step away in every coordinate, without the point.

    >>> neighbours((0, 1), shape=(5, 4))
    [(0, 0), (0, 2), (1, 0), (1, 1), (1, 2)]
    """
    found = {moved(index, step, shape) for step in product((-1, 0, 1), repeat=len(shape))}
    return sorted(found - {index})


def fit_around(
    visits: Sequence[Visit], at: Index, shape: Sequence[int], k: int, ridge: float
) -> Trend:
    """Fit the trend around a grid point over scored visits of equal total epochs."""
    points = np.array([visit.index for visit in visits])
    scores = np.array([visit.score for visit in visits], dtype=np.float64)
    spans = np.maximum(np.array(shape) - 1, 1)
    return fit_trend(points, scores, np.array(at), spans, k, ridge)
