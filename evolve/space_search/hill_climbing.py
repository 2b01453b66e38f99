"""Baseline: hill climbing, the trend's local search without its fit."""

from __future__ import annotations

from typing import Literal

import numpy as np

from evolve.space_search.climb import Climb, best_explored
from evolve.space_search.landscape import Landscape
from evolve.space_search.plane import neighbours


class HillClimbingConfig(Climb):
    """Settings of the climb to random neighbours."""

    name: Literal["hill_climbing"] = "hill_climbing"

    def explore(self, landscape: Landscape, rng: np.random.Generator) -> bool:
        """Visit a random unvisited neighbour of the best point; return False if there is none."""
        best, seen = best_explored(self, landscape), landscape.history.seen()
        unvisited = [index for index in neighbours(best, landscape.shape) if index not in seen]
        if not unvisited:
            return False
        landscape.visit(unvisited[int(rng.integers(len(unvisited)))], "neighbour")
        return True
