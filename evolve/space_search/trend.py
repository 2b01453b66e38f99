"""Our selector: follow the fitted trend, or try the best neighbour; then train the best on."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from evolve.space_search.history import Index, Visit
from evolve.space_search.landscape import Landscape, TrendBudget, visit_first
from evolve.space_search.plane import fit_around, moved, neighbours, threshold_step
from mcuformer.limits import MAX_CHOICES, Candidates


class TrendConfig(TrendBudget):
    """Settings of the piecewise-linear trend search.

    Args:
        max_step: largest move along an axis, in grid steps.
        max_revisits: largest number of visits of one point.
    """

    name: Literal["trend"] = "trend"
    max_step: Annotated[int, Field(ge=1, le=MAX_CHOICES)] = 2
    max_revisits: Candidates = 4

    def select(self, landscape: Landscape, rng: np.random.Generator) -> Index:
        """Explore, then promote the best; return the best of all.

        Exploration compares points of equal epochs, T0, until it is stationary or the budget is
        spent. It is stationary once every neighbour of the best point is known. The remaining
        visits train the k best points further, T0 per round. Each round halves their number
        (successive halving) by their mean score, so that the choice does not rest on one noisy
        score; a round starts only if the budget is enough for all of its points.
        """
        visit_first(landscape, self.initial_points, self.max_visits, rng)
        while len(landscape.history) < self.max_visits and _explore(self, landscape):
            pass
        finalists = sorted(landscape.history.at(self.visit_epochs), key=_rank, reverse=True)
        count = min(self.k, len(finalists), self.max_visits - len(landscape.history))
        while count > 1 and len(landscape.history) + count <= self.max_visits:
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


def _mean_score(landscape: Landscape, index: Index) -> float:
    scores = [v.score for v in landscape.history.visits if v.index == index and v.score is not None]
    return float(np.mean(scores))


def _choose(landscape: Landscape, finalists: list[Visit]) -> Index:
    """Return the finalist with the highest mean score, among those trained longest."""
    most_epochs = max(landscape.history.epochs(visit.index) for visit in finalists)
    longest = [v for v in finalists if landscape.history.epochs(v.index) == most_epochs]
    return max(longest, key=lambda v: (_mean_score(landscape, v.index), v.rank[1])).index


def _explore(config: TrendConfig, landscape: Landscape) -> bool:
    """Visit the next point; return False, without a visit, if the search is stationary.

    The step starts from the best point known, not from the last one, so that a bad visit costs one
    visit and not the way back. A step of zero or to a known point would bring nothing new; then the
    unvisited neighbour with the highest fitted score is visited.
    """
    known = landscape.history.at(config.visit_epochs)
    seen = landscape.history.seen()
    best = max(known, key=_rank).index
    trend = fit_around(known, best, landscape.shape, config.k, config.ridge)
    step = threshold_step(trend.slopes, config.taus(len(best)), config.max_step)
    target, rule = moved(best, step, landscape.shape), "trend"
    if target in seen:
        unvisited = [index for index in neighbours(best, landscape.shape) if index not in seen]
        if not unvisited:
            return False
        target = max(unvisited, key=lambda index: trend.predict(np.array(index)))
        rule = "neighbour"
    fitted = [known[i].index for i in trend.neighbours]
    landscape.visit(target, rule, trend.dump(best, fitted, step))
    return True
