"""Random search: admissible subnets drawn uniformly, the baseline of every strategy."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Literal

import numpy as np

from evolve.subnet_search.candidate import Candidate, Proposal
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.strategy import Strategy
from mcuformer.limits import Candidates

BATCH = 50


class RandomConfig(Strategy):
    """Settings of the random search.

    Args:
        samples: number of subnets.
    """

    name: Literal["random"] = "random"
    samples: Candidates = 200

    @property
    def evaluations(self) -> int:
        return self.samples

    @property
    def batch(self) -> int:
        return min(BATCH, self.samples)

    def propose(
        self,
        problem: Problem,
        history: Sequence[Candidate],
        taken: Container[str],
        rng: np.random.Generator,
    ) -> list[Proposal]:
        return problem.filled((), self.batch, taken, rng)
