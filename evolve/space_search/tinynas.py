"""TinyNAS: choose by the distribution of MACs of the subnets that fit (MCUNet, section 3.1)."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from evolve.space_search.history import Index
from evolve.space_search.landscape import Landscape, SearchBudget


class TinynasConfig(SearchBudget):
    """Choice without training.

    Args:
        quantile: of the admitted MACs, by which points are compared; null is the mean.
    """

    name: Literal["tinynas"] = "tinynas"
    quantile: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None


def select(config: TinynasConfig, landscape: Landscape, rng: np.random.Generator) -> Index:
    """Return the point whose admitted subnets compute most."""

    def worth(index: Index) -> float:
        macs = landscape.admitted_macs(index)
        if not macs:
            return -1.0
        return float(
            np.mean(macs) if config.quantile is None else np.quantile(macs, config.quantile)
        )

    return max(np.ndindex(*landscape.shape), key=worth)
