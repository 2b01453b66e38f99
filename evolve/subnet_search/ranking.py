"""Order of candidates by several objectives: fronts first, then room on a front.

Source: NSGA-II (Deb et al., 2002, sections III and VI).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evolve.subnet_search.candidate import Candidate
from evolve.subnet_search.pareto import crowding_distances, non_dominated_ranks


@dataclass(frozen=True)
class Ranked:
    """A candidate among others.

    Args:
        candidate: the candidate.
        front: number of the front that it is on; 0 is dominated by none.
        crowding: distance to its neighbours on that front.
    """

    candidate: Candidate
    front: int
    crowding: float

    @property
    def order(self) -> tuple[int, float]:
        """Sort key, smaller is better."""
        return self.front, -self.crowding


def ranked(candidates: Sequence[Candidate], losses: Sequence[Sequence[float]]) -> list[Ranked]:
    """Return candidates from the best to the worst; equal ones stay in their order.

    Those that keep the limits come first, and all others are on later fronts (section VI).

    Args:
        candidates: candidates, at least one.
        losses: objectives of each one, to be made small.
    """
    points = np.array(losses, np.float64)
    fits = np.array([candidate.fits for candidate in candidates])
    fronts = np.zeros(len(candidates), np.int64)
    fronts[fits] = non_dominated_ranks(points[fits])
    fronts[~fits] = non_dominated_ranks(points[~fits]) + (fronts.max() + 1 if fits.any() else 0)
    crowding = np.zeros(len(candidates))
    for front in range(fronts.max() + 1):
        crowding[fronts == front] = crowding_distances(points[fronts == front])
    rows = zip(candidates, fronts.tolist(), crowding.tolist(), strict=True)
    return sorted((Ranked(*row) for row in rows), key=lambda row: row.order)
