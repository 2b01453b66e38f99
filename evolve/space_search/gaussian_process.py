"""Bayesian optimisation: a Gaussian process over the grid, and expected improvement.

Source: Jones, Schonlau and Welch, 1998 ("Efficient global optimization"), section 4.1; with noise,
the value to improve on is the largest mean of the process at a visited point.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from evolve.space_search.climb import Climb
from evolve.space_search.history import Index, Visit
from evolve.space_search.landscape import Landscape
from evolve.space_search.plane import spans
from evolve.space_search.scale import Scale, located
from evolve.subnet_search.gaussian_process import GaussianProcess

Array = npt.NDArray[np.float64]
TINY = 1e-12  # least variance


class GaussianProcessConfig(Climb):
    """Settings of the search by a Gaussian process, which explores until all points are visited.

    Args:
        scale: unit of distances: ``grid`` steps, or ``log`` of rank ratio and number of tokens.
    """

    name: Literal["gaussian_process"] = "gaussian_process"
    scale: Scale = "log"

    def explore(self, landscape: Landscape, rng: np.random.Generator) -> bool:
        """Visit the point with the largest expected improvement; return False if none is left."""
        seen = landscape.history.seen()
        unvisited = [index for index in np.ndindex(*landscape.shape) if index not in seen]
        if not unvisited:
            return False
        visits = landscape.history.at(self.visit_epochs)
        process, points = self._fitted(visits, landscape)
        best = float(_means(process, points).max())
        others = self._located(unvisited, landscape)
        mean, covariance = process.posterior(_distances(others, points), _distances(others, others))
        deviation = np.sqrt(np.maximum(np.diag(covariance), TINY))
        improvement = expected_improvement(mean, deviation, best)
        landscape.visit(unvisited[int(improvement.argmax())], "expected improvement")
        return True

    def ranked(self, landscape: Landscape) -> list[Visit]:
        """Return the visits of the exploration by the mean of the process, the best first."""
        visits = landscape.history.at(self.visit_epochs)
        means = _means(*self._fitted(visits, landscape))
        return [visits[int(i)] for i in np.argsort(-means, kind="stable")]

    def _fitted(self, visits: list[Visit], landscape: Landscape) -> tuple[GaussianProcess, Array]:
        """Return the process of the visits' scores, and where the points are (n, axes)."""
        points = self._located([visit.index for visit in visits], landscape)
        scores = np.array([visit.score for visit in visits], dtype=np.float64)
        return GaussianProcess.fit(_distances(points, points), scores), points

    def _located(self, indices: list[Index], landscape: Landscape) -> Array:
        """Return grid points in units of the grid's extent, (n, axes)."""
        axes = landscape.axes
        return np.asarray(located(indices, axes, self.scale) / spans(axes))


def expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """Return E[max(value - best, 0)] of normal values.

    Args:
        mean: means (n,).
        deviation: standard deviations (n,), positive.
        best: value to improve on.

    >>> expected_improvement(np.array([1.0]), np.array([1.0]), 1.0).round(4)
    array([0.3989])
    """
    z = (mean - best) / deviation
    density = np.exp(-0.5 * z**2) / math.sqrt(2.0 * math.pi)
    below = np.array([0.5 * math.erfc(-value / math.sqrt(2.0)) for value in z])
    return np.asarray((mean - best) * below + deviation * density)


def _means(process: GaussianProcess, points: Array) -> Array:
    """Return the mean of the process, which is the score without its noise, at its own points."""
    distances = _distances(points, points)
    return process.posterior(distances, distances)[0]


def _distances(points: Array, others: Array) -> Array:
    """Return the distances of all points (n, axes) to all others (m, axes), (n, m)."""
    return np.asarray(np.linalg.norm(points[:, None] - others[None], axis=2))
