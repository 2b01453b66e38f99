"""Evolutionary search of subnets under a budget, measured with inherited weights.

Source: AutoFormer, section 3.3; population 50, 20 generations and 10 parents as in MCUFormer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from evolve.subnet_search.population import Variation
from mcuformer.limits import MAX_CANDIDATES, Candidates
from mcuformer.subnet import SubnetConfig
from mcuformer.value import Value

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
ATTEMPTS = 10  # per child, before a fresh candidate takes its place


class EvolutionConfig(Value):
    """Settings of the evolutionary search.

    Args:
        population: candidates per generation.
        generations: number of generations; the first is drawn at random.
        parents: number of best candidates so far that breed.
        mutants: children by mutation per generation.
        crossovers: children by crossover per generation; random candidates make up the population.
        depth_probability: probability that a mutation changes the depth.
        embed_dim_probability: probability that it changes the width, and that it changes the
            tokenizer.
        block_probability: probability that it changes a gene of a block, for each gene.
    """

    name: Literal["evolution"] = "evolution"
    population: Candidates = 50
    generations: Candidates = 20
    parents: Candidates = 10
    mutants: Annotated[int, Field(ge=0, le=MAX_CANDIDATES)] = 25
    crossovers: Annotated[int, Field(ge=0, le=MAX_CANDIDATES)] = 25
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
    """An evaluated subnet.

    Args:
        subnet: the subnet.
        accuracy_percent: accuracy on the steering split.
        sram_bytes: SRAM of its firmware.
        flash_bytes: flash of its firmware.
        ms_high: upper end of its modelled time in milliseconds; None if that is not modelled.
    """

    subnet: SubnetConfig
    accuracy_percent: float
    sram_bytes: int
    flash_bytes: int
    ms_high: float | None = None

    @property
    def rank(self) -> tuple[float, int, int, str]:
        """Sort key, smaller is better: accuracy, then SRAM, then flash; the key makes it unique."""
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

    Each subnet is evaluated at most once, so a generation evaluates fewer than `population` if its
    children are known already, as they must be in a small space.

    Args:
        config: settings of the search.
        variation: draws, mutates and crosses subnets.
        evaluate: measures a subnet.
        rng: source of randomness.
        generations: numbers of the generations, from 0; a progress bar may wrap them.
        journal: called with the number of each generation and its new candidates.

    Raises:
        BudgetError: no admissible subnet is found.
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
    """Return the admissible subnets of a generation, `config.population` of them.

    A child may exceed the budget although its parents do not, so breeding is by rejection. It gives
    up after ATTEMPTS draws per child: near a tight budget few children fit, and fresh candidates,
    which are drawn until they fit, make up the population.
    """

    def parent() -> SubnetConfig:
        return parents[int(rng.integers(len(parents)))].subnet

    def bred(breed: Callable[[], SubnetConfig], count: int) -> list[SubnetConfig]:
        admissible: list[SubnetConfig] = []
        for _ in range(ATTEMPTS * count):
            if len(admissible) == count:
                break
            child = breed()
            if variation.admissible(child):
                admissible.append(child)
        return admissible

    children: list[SubnetConfig] = []
    if parents:
        children += bred(lambda: variation.mutate(parent(), rng), config.mutants)
        children += bred(lambda: variation.cross(parent(), parent(), rng), config.crossovers)
    missing = config.population - len(children)
    return children + [variation.fresh(rng) for _ in range(missing)]
