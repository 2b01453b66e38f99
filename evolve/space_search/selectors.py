"""All selectors by name."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from evolve.space_search import joint, largest, random_points, tinynas, trend, trend_paper
from evolve.space_search.history import Index
from evolve.space_search.joint import JointConfig
from evolve.space_search.landscape import Landscape
from evolve.space_search.largest import LargestConfig
from evolve.space_search.random_points import RandomConfig
from evolve.space_search.tinynas import TinynasConfig
from evolve.space_search.trend import TrendConfig
from evolve.space_search.trend_paper import TrendPaperConfig

SelectorConfig = Annotated[
    TrendConfig | TrendPaperConfig | RandomConfig | LargestConfig | TinynasConfig | JointConfig,
    Field(discriminator="name"),
]


def select_point(config: SelectorConfig, landscape: Landscape, rng: np.random.Generator) -> Index:
    """Return the grid point that the configured selector chooses."""
    match config:
        case TrendConfig():
            return trend.select(config, landscape, rng)
        case TrendPaperConfig():
            return trend_paper.select(config, landscape, rng)
        case RandomConfig():
            return random_points.select(config, landscape, rng)
        case LargestConfig():
            return largest.select(config, landscape, rng)
        case TinynasConfig():
            return tinynas.select(config, landscape, rng)
        case JointConfig():
            return joint.select(config, landscape, rng)
