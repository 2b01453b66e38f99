"""All selectors, by the names of their configurations."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from evolve.space_search.axis_climbing import AxisClimbingConfig
from evolve.space_search.gaussian_process import GaussianProcessConfig
from evolve.space_search.hill_climbing import HillClimbingConfig
from evolve.space_search.joint import JointConfig
from evolve.space_search.largest import LargestConfig
from evolve.space_search.random_points import RandomConfig
from evolve.space_search.tinynas import TinynasConfig
from evolve.space_search.trend import TrendConfig
from evolve.space_search.trend_paper import TrendPaperConfig

SelectorConfig = Annotated[
    TrendConfig
    | TrendPaperConfig
    | HillClimbingConfig
    | AxisClimbingConfig
    | GaussianProcessConfig
    | RandomConfig
    | LargestConfig
    | TinynasConfig
    | JointConfig,
    Field(discriminator="name"),
]
