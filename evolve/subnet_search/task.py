"""A search, and one evaluation of it that is to be done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evolve.subnet_search.candidate import Candidate, Proposal
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.strategy import Strategy
from mcuformer.run.artifact import canonical_json, digest
from mcuformer.seed import stream


@dataclass(frozen=True)
class Search:
    """A strategy at work on a problem; several may share a study's evaluations.

    Args:
        strategy: strategy with its settings.
        problem: subnets, limits and objectives.
        seed: seed of its random streams.
    """

    strategy: Strategy
    problem: Problem
    seed: int

    @property
    def key(self) -> str:
        """Digest of everything that the proposals depend on apart from evaluations."""
        content = [self.strategy.content(), self.problem.identity(), self.seed]
        return digest(canonical_json(content).encode())[:16]

    def propose(
        self, first: int, history: Sequence[Candidate], taken: frozenset[str]
    ) -> list[Proposal]:
        """Return the proposals of the batch that begins with number `first`."""
        rng = stream(self.seed, "search", first)
        proposals = self.strategy.propose(self.problem, history, taken, rng)
        return proposals[: self.strategy.evaluations - first]


@dataclass(frozen=True)
class Task:
    """An evaluation to do.

    Args:
        number: number of the proposal in its search.
        proposal: what to evaluate.
        history: candidates that it was proposed from.
    """

    number: int
    proposal: Proposal
    history: tuple[Candidate, ...]
