"""Bayesian optimisation: a Gaussian process over the grid, and expected improvement."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from evolve.space_search.climb import Climb
from evolve.space_search.landscape import Landscape
from evolve.subnet_search.gaussian_process import GaussianProcess

Array = npt.NDArray[np.float64]


class GaussianProcessConfig(Climb):
    """Settings of the search by a Gaussian process."""

    name: Literal["gaussian_process"] = "gaussian_process"

    def explore(self, landscape: Landscape, rng: np.random.Generator) -> bool:
        """Visit the unvisited point with the largest expected improvement."""
        seen = landscape.history.seen()
        unvisited = [i for i in np.ndindex(*landscape.shape) if i not in seen]
        if not unvisited:
            return False
        known = landscape.history.at(self.visit_epochs)
        spans = np.maximum(np.array(landscape.shape) - 1, 1)
        points = np.array([v.index for v in known]) / spans
        others = np.array(unvisited) / spans
        scores = np.array([v.score for v in known], dtype=np.float64)
        process = GaussianProcess.fit(apart(points, points), scores)
        best = process.posterior(apart(points, points), apart(points, points))[0].max()
        mean, covariance = process.posterior(apart(others, points), apart(others, others))
        deviation = np.sqrt(np.maximum(np.diag(covariance), 1e-12))
        improvement = expected_improvement(mean, deviation, best)
        landscape.visit(unvisited[int(improvement.argmax())], "expected improvement")
        return True


def apart(points: Array, others: Array) -> Array:
    return np.linalg.norm(points[:, None] - others[None], axis=2)


def expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    z = (mean - best) / deviation
    return (mean - best) * norm.cdf(z) + deviation * norm.pdf(z)
