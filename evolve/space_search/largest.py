"""Baseline: the point with the largest admissible networks (MCUFormer, table 1)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from evolve.space_search.history import Index
from evolve.space_search.landscape import Landscape, SearchBudget


class LargestConfig(SearchBudget):
    """The point with the largest networks, chosen without training."""

    trains: ClassVar[bool] = False
    name: Literal["largest"] = "largest"

    def select(self, landscape: Landscape, rng: np.random.Generator) -> Index:
        """Return the point with the most multiply-accumulates in its largest admitted subnet."""
        points = list(np.ndindex(*landscape.shape))
        return max(points, key=lambda index: max(landscape.admitted_macs(index), default=-1))
