"""Evolutionary search of subnets under a budget, with inherited weights.

Source: AutoFormer, section 3.3, and MCUFormer: population 50, 20 generations, 10 parents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from evolve.subnet_search.population import Variation
from mcuformer.subnet import PositiveInt, SubnetConfig
from mcuformer.value import Value

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
ATTEMPTS = 10


class EvolutionConfig(Value):
    """Evolutionary search.

    Args:
        population: candidates a generation.
        parents: best candidates so far that breed.
        mutants, crossovers: children a generation; fresh candidates fill the rest.
    """

    name: Literal["evolution"] = "evolution"
    population: PositiveInt = 50
    generations: PositiveInt = 20
    parents: PositiveInt = 10
    mutants: Annotated[int, Field(ge=0)] = 25
    crossovers: Annotated[int, Field(ge=0)] = 25
    depth_probability: Probability = 0.4
    embed_dim_probability: Probability = 0.4
    block_probability: Probability = 0.2

    @model_validator(mode="after")
    def _check(self) -> EvolutionConfig:
        if self.mutants + self.crossovers > self.population:
            raise ValueError("mutants and crossovers exceed population")
        return self


@dataclass(frozen=True)
class Candidate:
    """An evaluated subnet; the better one is more accurate, then smaller in SRAM, then in flash."""

    subnet: SubnetConfig
    accuracy_percent: float
    sram_bytes: int
    flash_bytes: int

    @property
    def rank(self) -> tuple[float, int, int, str]:
        """Sort key: smaller is better."""
        return -self.accuracy_percent, self.sram_bytes, self.flash_bytes, self.subnet.key


def evolve(
    config: EvolutionConfig,
    variation: Variation,
    evaluate: Callable[[SubnetConfig], Candidate],
    rng: np.random.Generator,
    generations: Iterable[int],
    journal: Callable[[int, list[Candidate]], None],
) -> Candidate:
    """Search and return the best candidate.

    Each subnet is evaluated at most once. A space with fewer admissible subnets than a population
    is searched with what there is.

    Args:
        generations: numbers of the generations, from 0 (a progress bar's iterator).
        journal: called with each generation's new candidates.
    """
    seen: dict[str, Candidate] = {}
    for generation in generations:
        parents = sorted(seen.values(), key=lambda c: c.rank)[: config.parents]
        new: list[Candidate] = []
        for subnet in _children(config, variation, parents, rng):
            if subnet.key not in seen:
                seen[subnet.key] = evaluate(subnet)
                new.append(seen[subnet.key])
        journal(generation, new)
    return min(seen.values(), key=lambda c: c.rank)


def _children(
    config: EvolutionConfig,
    variation: Variation,
    parents: list[Candidate],
    rng: np.random.Generator,
) -> list[SubnetConfig]:
    def parent() -> SubnetConfig:
        return parents[int(rng.integers(len(parents)))].subnet

    def bred(make: Callable[[], SubnetConfig], count: int) -> list[SubnetConfig]:
        found: list[SubnetConfig] = []
        for _ in range(ATTEMPTS * count):
            if len(found) == count:
                break
            child = make()
            if variation.admissible(child):
                found.append(child)
        return found

    children: list[SubnetConfig] = []
    if parents:
        children += bred(lambda: variation.mutate(parent(), rng), config.mutants)
        children += bred(lambda: variation.cross(parent(), parent(), rng), config.crossovers)
    missing = config.population - len(children)
    return children + [variation.fresh(rng) for _ in range(missing)]
