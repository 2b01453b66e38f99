"""Baseline: choose the point by one supernet trained over all points (MCUFormer, table 1)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from evolve.space_search.history import Index
from evolve.space_search.landscape import Landscape, SearchBudget


class JointConfig(SearchBudget):
    """The joint supernet, trained for as many epochs as all visits together."""

    joint: ClassVar[bool] = True
    name: Literal["joint"] = "joint"

    def select(self, landscape: Landscape, rng: np.random.Generator) -> Index:
        """Train the joint supernet; return the point with the best score under its weights."""
        visits = landscape.train_jointly(self.visits(landscape.shape) * self.visit_epochs)
        return max(visits, key=lambda visit: visit.rank).index
