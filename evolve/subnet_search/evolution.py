"""Evolutionary search of subnets under a budget.

Source: AutoFormer, section 3.3; population 50, 20 generations and 10 parents as in MCUFormer. A
child that is known is refused and bred again, as in AutoFormer's code.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from evolve.subnet_search.breeding import bred
from evolve.subnet_search.candidate import Candidate, Proposal
from evolve.subnet_search.problem import Either, Problem
from evolve.subnet_search.strategy import Strategy
from evolve.subnet_search.variation import Variation
from mcuformer.limits import MAX_CANDIDATES, Candidates, Probability
from mcuformer.subnet import SubnetConfig


class EvolutionConfig(Strategy):
    """Settings of the evolutionary search.

    Args:
        population: candidates per generation.
        generations: number of generations; the first is drawn at random.
        parents: number of best candidates so far that breed.
        mutants: children by mutation per generation.
        crossovers: children by crossover per generation; random candidates make up the population.
        depth_probability: probability that a mutation changes the depth.
        embed_dim_probability: probability that it changes the width, that it changes the tokenizer,
            and that it changes the space point, where several are searched.
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

    @property
    def evaluations(self) -> int:
        return self.population * self.generations

    @property
    def batch(self) -> int:
        return self.population

    @property
    def elite(self) -> int:
        return self.parents

    def propose(
        self,
        problem: Problem,
        history: Sequence[Candidate],
        taken: Container[str],
        rng: np.random.Generator,
    ) -> list[Proposal]:
        parents = sorted(history, key=lambda candidate: candidate.rank)[: self.parents]
        children = self.children(problem, [p.subnet for p in parents], taken, rng)
        return problem.filled(map(Proposal, children), self.population, taken, rng)

    def children(
        self,
        problem: Problem,
        parents: Sequence[SubnetConfig],
        taken: Container[str],
        rng: np.random.Generator,
    ) -> list[SubnetConfig]:
        """Return the new admissible children of a generation, without repeats."""
        vary = Variation(
            problem.space,
            problem.points,
            self.depth_probability,
            self.embed_dim_probability,
            self.block_probability,
        )

        def parent() -> SubnetConfig:
            return parents[int(rng.integers(len(parents)))]

        if not parents:
            return []
        mutants = bred(lambda: vary.mutate(parent(), rng), self.mutants, problem, taken)
        known = Either(taken, {child.key for child in mutants})
        crossed = bred(lambda: vary.cross(parent(), parent(), rng), self.crossovers, problem, known)
        return mutants + crossed
