"""Baseline: visit distinct random points, choose the best (MCUFormer, table 1)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from evolve.space_search.history import Index
from evolve.space_search.landscape import Landscape, SearchBudget, best_at_last, shuffled


class RandomConfig(SearchBudget):
    """Settings of the random search."""

    name: Literal["random"] = "random"

    def select(self, landscape: Landscape, rng: np.random.Generator) -> Index:
        """Visit random points until the budget is spent and at least one point has a score."""
        for number, index in enumerate(shuffled(landscape.shape, rng)):
            if number >= self.visits(landscape.shape) and landscape.history.levels():
                break
            landscape.visit(index, "random")
        return best_at_last(landscape.history)
