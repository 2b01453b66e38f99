"""Climbing along axes first: of the best point's neighbours, those that differ in one axis."""

from __future__ import annotations

from typing import Literal

import numpy as np

from evolve.space_search.climb import Climb, best_explored
from evolve.space_search.landscape import Landscape
from evolve.space_search.plane import neighbours


class AxisClimbingConfig(Climb):
    """Settings of the climb along axes."""

    name: Literal["axis_climbing"] = "axis_climbing"

    def explore(self, landscape: Landscape, rng: np.random.Generator) -> bool:
        """Visit an unvisited neighbour of the best point; return False if there is none.

        Those that differ in the fewest axes come first, in random order: of d axes they are 2 d,
        while all neighbours are 3^d - 1.
        """
        best, seen = best_explored(self, landscape), landscape.history.seen()
        unvisited = [index for index in neighbours(best, landscape.shape) if index not in seen]
        if not unvisited:
            return False
        axes = [sum(a != b for a, b in zip(index, best, strict=True)) for index in unvisited]
        nearest = [i for i, count in zip(unvisited, axes, strict=True) if count == min(axes)]
        landscape.visit(nearest[int(rng.integers(len(nearest)))], "neighbour")
        return True
