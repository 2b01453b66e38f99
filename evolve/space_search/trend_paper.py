"""The paper's literal rule: walk by floor(slope / tau); the most visited point wins.

Source: MCUFormer, section 3.1, with one correction: the step climbs. The released code's goes down
the fitted slope, away from the best score.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from evolve.space_search.history import Index
from evolve.space_search.landscape import Landscape, TrendBudget, visit_first
from evolve.space_search.plane import fit_around, floor_step, moved, nearest, spans
from evolve.space_search.scale import Scale, located
from mcuformer.limits import Candidates


class TrendPaperConfig(TrendBudget):
    """Settings of the paper's rule.

    Args:
        max_revisits: number of visits of one point that ends the search.
    """

    name: Literal["trend_paper"] = "trend_paper"
    scale: Scale = "grid"
    max_revisits: Candidates = 4

    def select(self, landscape: Landscape, rng: np.random.Generator) -> Index:
        """Walk from the best initial point; every step trains the point that it reaches.

        The fit takes the k nearest points with the total epochs T of the current one. If there are
        fewer than three (the paper's empty neighbourhood), the k nearest with T - T0 are trained
        for T0 more first. A walk that stays raises T, so its point is visited again and again: that
        is what ends the search, and what wins.
        """
        most, history = self.visits(landscape.shape), landscape.history
        visit_first(landscape, self.initial_points, most, rng)
        current = max(history.at(self.visit_epochs), key=lambda visit: visit.rank).index
        while len(history) < most and history.count(current) < self.max_revisits:
            epochs = history.epochs(current)
            if len(history.at(epochs)) < 3:
                _promote(self, landscape, current, epochs)
            known = history.at(epochs)
            if len(known) < 3 or len(history) >= most:
                break
            trend = fit_around(known, current, landscape.axes, self.scale, self.k, self.ridge)
            step = floor_step(trend.slopes, self.taus(len(current)))
            target = moved(current, step, landscape.shape)
            fitted = [known[i].index for i in trend.neighbours]
            if landscape.visit(target, "step", trend.dump(current, fitted, step)).score is None:
                break
            current = target
        scored = [visit for visit in history.visits if visit.score is not None]
        return max(scored, key=lambda visit: (history.count(visit.index), visit.rank)).index


def _promote(config: TrendPaperConfig, landscape: Landscape, current: Index, epochs: int) -> None:
    """Train the k points nearest to `current` that have `epochs` - T0 epochs for T0 more."""
    history = landscape.history
    lower = [
        visit
        for visit in history.at(epochs - config.visit_epochs)
        if history.epochs(visit.index) == visit.epochs
    ]
    if not lower:
        return
    axes = landscape.axes
    points = located([visit.index for visit in lower], axes, config.scale)
    centre = located([current], axes, config.scale)[0]
    for chosen in nearest(points, centre, spans(axes), config.k):
        if len(history) < config.visits(landscape.shape):
            landscape.visit(lower[int(chosen)].index, "promotion")
