"""NSGA-II: evolution towards the whole Pareto front (Deb et al., 2002)."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Literal

import numpy as np

from evolve.subnet_search.breeding import bred
from evolve.subnet_search.candidate import Candidate, Proposal
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.ranking import Ranked, ranked
from evolve.subnet_search.strategy import Strategy
from evolve.subnet_search.variation import Variation
from mcuformer.limits import Candidates, Probability
from mcuformer.space import SearchSpace
from mcuformer.subnet import SubnetConfig


class Nsga2Config(Strategy):
    """Settings of NSGA-II.

    With one objective it keeps the best of parents and children.

    Args:
        population: candidates per generation, and parents that survive it.
        generations: number of generations; the first is drawn at random.
        crossover_probability: probability that a child has two parents; it is then mutated, like
            all children, with the probability 1 / (number of genes) for each gene.
    """

    name: Literal["nsga2"] = "nsga2"
    population: Candidates = 40
    generations: Candidates = 5
    crossover_probability: Probability = 0.9

    @property
    def evaluations(self) -> int:
        return self.population * self.generations

    @property
    def batch(self) -> int:
        return self.population

    @property
    def elite(self) -> int:
        return self.population

    def propose(
        self,
        problem: Problem,
        history: Sequence[Candidate],
        taken: Container[str],
        rng: np.random.Generator,
    ) -> list[Proposal]:
        parents = self.survivors(problem, history)
        rate = 1.0 / num_genes(problem)
        vary = Variation(problem.space, problem.points, rate, rate, rate)

        def parent() -> SubnetConfig:
            pair = (parents[int(rng.integers(len(parents)))] for _ in range(2))
            return min(pair, key=lambda row: row.order).candidate.subnet

        def child() -> SubnetConfig:
            mother = parent()
            if rng.random() < self.crossover_probability:
                mother = vary.cross(mother, parent(), rng)
            return vary.mutate(mother, rng)

        children = bred(child, self.population, problem, taken) if parents else []
        return problem.filled(map(Proposal, children), self.population, taken, rng)

    def survivors(self, problem: Problem, history: Sequence[Candidate]) -> list[Ranked]:
        """Return the parents of the next generation, best first.

        The selection after every generation is repeated from the history.

        Args:
            problem: knows the objectives.
            history: candidates of whole generations, in the order of their proposals.
        """
        parents: list[Ranked] = []
        for first in range(0, len(history), self.population):
            children = history[first : first + self.population]
            rivals = [*(row.candidate for row in parents), *children]
            parents = ranked(rivals, [problem.losses(c) for c in rivals])[: self.population]
        return parents


def num_genes(problem: Problem) -> int:
    """Return the number of genes of the deepest subnets that have a choice, at least 1."""
    space: SearchSpace = problem.space
    single = (space.embed_dim, space.depth, space.tokenizer, problem.points)
    per_block = sum(len(choices) > 1 for choices in space.block_genes.values())
    return max(1, sum(len(choices) > 1 for choices in single) + max(space.depth) * per_block)
