"""Baseline TinyNAS: choose by the MACs of the subnets that fit (MCUNet, 2020, section 3.1)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from evolve.space_search.history import Index
from evolve.space_search.landscape import Landscape, SearchBudget


class TinynasConfig(SearchBudget):
    """The point whose admitted subnets compute most, chosen without training.

    Args:
        quantile: quantile of the admitted MACs that points are compared by; null is the mean.
    """

    trains: ClassVar[bool] = False
    name: Literal["tinynas"] = "tinynas"
    quantile: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None

    def select(self, landscape: Landscape, rng: np.random.Generator) -> Index:
        """Return the point with the largest mean, or quantile, of admitted MACs."""

        def worth(index: Index) -> float:
            macs = landscape.admitted_macs(index)
            if not macs:
                return -1.0
            return float(
                np.mean(macs) if self.quantile is None else np.quantile(macs, self.quantile)
            )

        return max(np.ndindex(*landscape.shape), key=worth)
