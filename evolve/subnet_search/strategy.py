"""What all strategies have in common: they propose subnets, given what is known so far."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import ClassVar

import numpy as np

from evolve.subnet_search.candidate import Candidate, Metric, Proposal
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.shares import Shares
from mcuformer.value import Value


class Strategy(Value):
    """A strategy with its settings.

    A strategy has no state: what it proposes depends on its settings, the problem, the candidates
    so far and the random stream of the proposal alone. So an interrupted search continues by
    reading its study, and any worker can take the next step.
    """

    draws: ClassVar[bool] = False  # whether it has a picture of the problem

    @property
    def evaluations(self) -> int:
        """Number of different subnets that the search evaluates."""
        raise NotImplementedError

    @property
    def batch(self) -> int:
        """Number of proposals that depend on the same candidates.

        Only when all of them are evaluated does the next batch begin, so the result does not depend
        on the number of workers. 1 proposes from whatever is finished; with several workers the
        order in which evaluations happen to finish then matters, and the study records it.
        """
        raise NotImplementedError

    @property
    def elite(self) -> int:
        """Number of best candidates whose order by accuracy matters."""
        return 1

    @property
    def inherits(self) -> bool:
        """Whether proposals may name a parent whose trained weights they start from."""
        return False

    @property
    def tunes(self) -> bool:
        """Whether proposals may differ in their training alone."""
        return False

    @property
    def shares(self) -> Shares | None:
        """Smallest and largest share to prune, if that is a gene of its proposals."""
        return None

    def metrics(self, problem: Problem) -> tuple[Metric, ...]:
        """Return the metrics that it optimises."""
        return problem.objectives

    def propose(
        self,
        problem: Problem,
        history: Sequence[Candidate],
        taken: Container[str],
        rng: np.random.Generator,
    ) -> list[Proposal]:
        """Return the next proposals, at most :attr:`batch` and fewer once none is left.

        Args:
            problem: subnets, limits and objectives.
            history: candidates so far, in the order of their proposals, or of their completion if
                :attr:`batch` is 1.
            taken: keys that must not be proposed: those of the history and of running evaluations.
            rng: source of randomness, a new one for every batch.

        Raises:
            BudgetError: no subnet keeps the limits.
        """
        raise NotImplementedError

    def picture(self, problem: Problem) -> bytes:
        """Return the picture of a strategy that draws one, as PNG."""
        raise NotImplementedError

    def best(self, problem: Problem, candidates: Sequence[Candidate]) -> Candidate:
        """Return the candidate that the search ends with: the most accurate one."""
        return min(candidates, key=lambda candidate: candidate.rank)
