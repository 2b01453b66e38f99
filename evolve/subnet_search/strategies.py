"""All strategies, by the names of their configurations."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from evolve.subnet_search.aging import AgingConfig
from evolve.subnet_search.evolution import EvolutionConfig
from evolve.subnet_search.mobo import MoboConfig
from evolve.subnet_search.nsga2 import Nsga2Config
from evolve.subnet_search.random_subnets import RandomConfig
from evolve.subnet_search.tinynas import TinynasConfig

StrategyConfig = Annotated[
    EvolutionConfig | AgingConfig | MoboConfig | Nsga2Config | TinynasConfig | RandomConfig,
    Field(discriminator="name"),
]
