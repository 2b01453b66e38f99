"""Aging evolution: the oldest candidate leaves, a morph of a good one joins.

Source: muNAS (Liberis et al., 2021, section 4.3), with the sizes and the cap of its code; aging is
from Real et al., 2019.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Literal

import numpy as np
from pydantic import model_validator

from evolve.subnet_search.candidate import Candidate, Proposal, Training
from evolve.subnet_search.morphs import morphs
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.scalarisation import ScalarisedStrategy
from evolve.subnet_search.shares import drawn, mutated
from mcuformer.limits import Candidates

ATTEMPTS = 10  # parents whose morphs are all known or inadmissible, before a fresh candidate


class AgingConfig(ScalarisedStrategy):
    """Settings of the aging evolution.

    Args:
        population: number of latest candidates among which a parent is chosen; the first ones are
            drawn at random.
        sample: number of these, drawn at random, of which the best under a fresh scalarisation is
            the parent.
        rounds: number of candidates, the first population included.
    """

    name: Literal["aging"] = "aging"
    population: Candidates = 100
    sample: Candidates = 25
    rounds: Candidates = 1000

    @model_validator(mode="after")
    def _check(self) -> AgingConfig:
        if self.sample > self.population:
            raise ValueError("sample exceeds population")
        return self

    @property
    def evaluations(self) -> int:
        return self.rounds

    def propose(
        self,
        problem: Problem,
        history: Sequence[Candidate],
        taken: Container[str],
        rng: np.random.Generator,
    ) -> list[Proposal]:
        child: list[Proposal] = []
        if len(history) >= self.population:
            child = self._child(problem, history[-self.population :], taken, rng)
        return problem.filled(
            child, 1, taken, rng, lambda: Training(pruning_share=drawn(self.shares, rng))
        )

    def _child(
        self,
        problem: Problem,
        population: Sequence[Candidate],
        taken: Container[str],
        rng: np.random.Generator,
    ) -> list[Proposal]:
        """Return a new admissible morph of a good candidate, or none if none is found.

        Every such morph of the parent is equally likely. The share to prune, if that is a gene,
        changes with it.
        """
        scalarisation = self.scalarisation(problem)
        losses = scalarisation.losses(population)
        for _ in range(ATTEMPTS):
            sample = rng.choice(len(population), self.sample, replace=False)
            scalars = scalarisation.scalars(losses[sample], scalarisation.weights(rng))
            parent = population[int(sample[np.argmin(scalars)])].proposal
            share = mutated(self.shares, parent.training.pruning_share, rng)
            training = parent.training.model_copy(update={"pruning_share": share})
            found = morphs(problem, parent.subnet)
            for index in rng.permutation(len(found)):
                child = Proposal(found[int(index)].subnet, training)
                if child.key not in taken and problem.takes(child):
                    return [child]
        return []
