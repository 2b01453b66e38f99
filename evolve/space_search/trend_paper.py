"""The paper's literal rule: floor(slope / tau) steps from the current point, most visited wins."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from evolve.space_search.history import Index
from evolve.space_search.landscape import Landscape, TrendBudget, visit_first
from evolve.space_search.plane import fit_around, floor_step, moved, nearest


class TrendPaperConfig(TrendBudget):
    """The literal rule of MCUFormer, section 3.1, with the sign that climbs.

    Args:
        max_revisits: visits of one point that end the search.
    """

    name: Literal["trend_paper"] = "trend_paper"
    max_revisits: Annotated[int, Field(ge=1)] = 4


def select(config: TrendPaperConfig, landscape: Landscape, rng: np.random.Generator) -> Index:
    """Walk from the best initial point; every step visits, that is trains, where it leads.

    The fit takes the k nearest points with the current one's total epochs T. Where there are fewer
    than three, the k nearest with T - T0 are trained T0 more first (empty neighbourhood).
    """
    visit_first(landscape, config.initial_points, config.max_visits, rng)
    history = landscape.history
    current = max(history.at(config.visit_epochs), key=lambda visit: visit.rank).index
    while len(history) < config.max_visits and history.count(current) < config.max_revisits:
        epochs = history.epochs(current)
        if len(history.at(epochs)) < 3:
            _promote(config, landscape, current, epochs)
        known = history.at(epochs)
        if len(known) < 3 or len(history) >= config.max_visits:
            break
        trend = fit_around(known, current, landscape.shape, config.k, config.ridge)
        step = floor_step(trend.slopes, config.taus(len(current)))
        target = moved(current, step, landscape.shape)
        fitted = [known[i].index for i in trend.neighbours]
        if landscape.visit(target, "step", trend.dump(current, fitted, step)).score is None:
            break
        current = target
    scored = [visit for visit in history.visits if visit.score is not None]
    return max(scored, key=lambda visit: (history.count(visit.index), visit.rank)).index


def _promote(config: TrendPaperConfig, landscape: Landscape, at: Index, epochs: int) -> None:
    """Train the k nearest points with T - T0 epochs by T0 more."""
    history = landscape.history
    lower = [
        visit
        for visit in history.at(epochs - config.visit_epochs)
        if history.epochs(visit.index) == visit.epochs
    ]
    if not lower:
        return
    points = np.array([visit.index for visit in lower])
    spans = np.maximum(np.array(landscape.shape) - 1, 1)
    for chosen in nearest(points, np.array(at), spans, config.k):
        if len(history) < config.max_visits:
            landscape.visit(lower[int(chosen)].index, "promotion")
