"""What selectors share that explore at equal epochs, then train the best points on."""

from __future__ import annotations

import numpy as np

from evolve.space_search.history import Index, Visit
from evolve.space_search.landscape import Landscape, StartedBudget, visit_first
from mcuformer.limits import Candidates


class Climb(StartedBudget):
    """Settings of the selectors that explore one visit per point, then promote the best.

    Args:
        finalists: number of points that the remaining visits train further.
        max_revisits: largest number of visits of one point.
    """

    finalists: Candidates = 5
    max_revisits: Candidates = 4

    def explore(self, landscape: Landscape, rng: np.random.Generator) -> bool:
        """Visit the next point; return False, without a visit, if nothing is left to explore."""
        raise NotImplementedError

    def ranked(self, landscape: Landscape) -> list[Visit]:
        """Return the scored visits of the exploration, the best first."""
        return sorted(landscape.history.at(self.visit_epochs), key=_rank, reverse=True)

    def select(self, landscape: Landscape, rng: np.random.Generator) -> Index:
        """Explore, then promote the best; return the best of all.

        Exploration compares points of equal epochs, T0, until it is stationary or the budget is
        spent. The remaining visits train the best points further, T0 per round. Each round halves
        their number (successive halving) by their mean score, so that the choice does not rest on
        one noisy score; a round starts only if the budget is enough for all of its points.
        """
        most = self.visits(landscape.shape)
        visit_first(landscape, self.initial_points, most, rng)
        while len(landscape.history) < most and self.explore(landscape, rng):
            pass
        finalists = self.ranked(landscape)
        count = min(self.finalists, len(finalists), most - len(landscape.history))
        while count > 1 and len(landscape.history) + count <= most:
            for visit in finalists[:count]:
                if landscape.history.count(visit.index) >= self.max_revisits:
                    return _choose(landscape, finalists[:count])
                landscape.visit(visit.index, "promotion")
            finalists = sorted(
                finalists[:count], key=lambda v: _mean_score(landscape, v.index), reverse=True
            )
            count = max(2, count // 2) if count > 2 else 1
        return _choose(landscape, finalists)


def _rank(visit: Visit) -> tuple[float, float]:
    return visit.rank


def best_explored(config: Climb, landscape: Landscape) -> Index:
    """Return the point with the highest score after one visit."""
    return max(landscape.history.at(config.visit_epochs), key=_rank).index


def _mean_score(landscape: Landscape, index: Index) -> float:
    scores = [v.score for v in landscape.history.visits if v.index == index and v.score is not None]
    return float(np.mean(scores))


def _choose(landscape: Landscape, finalists: list[Visit]) -> Index:
    """Return the finalist with the highest mean score, among those trained longest."""
    most_epochs = max(landscape.history.epochs(visit.index) for visit in finalists)
    longest = [v for v in finalists if landscape.history.epochs(v.index) == most_epochs]
    return max(longest, key=lambda v: (_mean_score(landscape, v.index), v.rank[1])).index
