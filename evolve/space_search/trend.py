"""The paper's idea, ours in detail: follow the fitted trend, or try the best neighbour."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from evolve.space_search.climb import Climb, best_explored
from evolve.space_search.landscape import Landscape, TrendBudget
from evolve.space_search.plane import fit_around, moved, neighbours, threshold_step
from evolve.space_search.scale import located
from mcuformer.limits import MAX_CHOICES


class TrendConfig(TrendBudget, Climb):
    """Settings of the piecewise-linear trend search.

    Args:
        max_step: largest move along an axis, in grid steps.
    """

    name: Literal["trend"] = "trend"
    max_step: Annotated[int, Field(ge=1, le=MAX_CHOICES)] = 2

    def explore(self, landscape: Landscape, rng: np.random.Generator) -> bool:
        """Visit the next point; return False if every neighbour of the best is known.

        The step starts from the best point known, not from the last one, so that a bad visit costs
        one visit and not the way back. A step of zero or to a known point would bring nothing new;
        then the unvisited neighbour with the highest fitted score is visited.
        """
        best, seen = best_explored(self, landscape), landscape.history.seen()
        known = landscape.history.at(self.visit_epochs)
        trend = fit_around(known, best, landscape.axes, self.scale, self.k, self.ridge)
        step = threshold_step(trend.slopes, self.taus(len(best)), self.max_step)
        target, rule = moved(best, step, landscape.shape), "trend"
        if target in seen:
            unvisited = [index for index in neighbours(best, landscape.shape) if index not in seen]
            if not unvisited:
                return False
            positions = located(unvisited, landscape.axes, self.scale)
            target = unvisited[int(np.argmax([trend.predict(point) for point in positions]))]
            rule = "neighbour"
        fitted = [known[i].index for i in trend.neighbours]
        landscape.visit(target, rule, trend.dump(best, fitted, step))
        return True
