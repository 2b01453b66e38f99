"""Baseline: distinct random points, the best observed wins (MCUFormer, table 1)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from evolve.space_search.history import Index
from evolve.space_search.landscape import Landscape, SearchBudget, best_at_last, shuffled


class RandomConfig(SearchBudget):
    """Random search over points."""

    name: Literal["random"] = "random"


def select(config: RandomConfig, landscape: Landscape, rng: np.random.Generator) -> Index:
    """Visit random points; go on beyond the budget only until one has a score."""
    for number, index in enumerate(shuffled(landscape.shape, rng)):
        if number >= config.max_visits and landscape.history.levels():
            break
        landscape.visit(index, "random")
    return best_at_last(landscape.history)
