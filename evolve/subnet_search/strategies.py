"""All strategies, by the names of their configurations."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from evolve.subnet_search.evolution import EvolutionConfig
from evolve.subnet_search.random_subnets import RandomConfig

StrategyConfig = Annotated[EvolutionConfig | RandomConfig, Field(discriminator="name")]
