"""What a search is asked: subnets to choose from, limits that they keep, and objectives."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from evolve.subnet_search.candidate import Candidate, Metric, Proposal, Training
from mcuformer.device import Budget, SoftBounds
from mcuformer.errors import BudgetError
from mcuformer.space import SearchSpace, SpacePoint
from mcuformer.subnet import SubnetConfig

MAX_DRAWS = 10_000


class Pruning(Protocol):
    """What a search needs to know about the pruning of its evaluator."""

    def expected(self, subnet: SubnetConfig, share: float | None) -> SubnetConfig | None:
        """Return what should be left of a network, or None if it cannot be pruned so.

        Args:
            subnet: the whole network.
            share: share of its parameters that is taken away; None is the evaluator's.
        """
        ...

    def dump(self) -> dict[str, Any]:
        """Return the settings as plain containers."""
        ...


@dataclass(frozen=True)
class Problem:
    """The question that every strategy answers.

    Args:
        space: search space.
        points: outer points whose subnets are searched; several if a joint supernet or a training
            from scratch evaluates them.
        admits: returns whether a deployed network keeps the hard limits.
        limit: these limits.
        objectives: metrics to optimise.
        soft: bounds that strategies with a scalarisation aim at; None takes the hard limits.
        pruning: how the evaluator prunes; None is not at all.
    """

    space: SearchSpace
    points: tuple[SpacePoint, ...]
    admits: Callable[[SubnetConfig], bool]
    limit: Budget
    objectives: tuple[Metric, ...] = ("accuracy_percent",)
    soft: SoftBounds | None = None
    pruning: Pruning | None = None

    def identity(self) -> dict[str, Any]:
        """Return everything that proposals depend on, as plain containers."""
        return {
            "space": self.space.dump(),
            "points": [point.dump() for point in self.points],
            "limit": self.limit.content(),
            "objectives": list(self.objectives),
            "soft": None if self.soft is None else self.soft.dump(),
            "pruning": None if self.pruning is None else self.pruning.dump(),
        }

    def takes(self, proposal: Proposal) -> bool:
        """Return whether a proposal is admissible: what should be left of it keeps the limits.

        What pruning really leaves shows when it is evaluated (:attr:`Candidate.fits`).
        """
        if self.pruning is None:
            return self.admits(proposal.subnet)
        share = proposal.training.pruning_share
        left = self.pruning.expected(proposal.subnet.merged, share)
        return left is not None and self.admits(left)

    def sample(self, rng: np.random.Generator) -> SubnetConfig:
        """Draw a point and a subnet of it uniformly; it may exceed the limits."""
        point = self.points[int(rng.integers(len(self.points)))] if self.points[1:] else None
        return self.space.sample(self.points[0] if point is None else point, rng)

    def fresh(
        self,
        rng: np.random.Generator,
        taken: Container[str],
        training: Callable[[], Training] = Training,
    ) -> Proposal | None:
        """Draw an admissible proposal whose key is not taken, by rejection.

        Args:
            rng: source of randomness.
            taken: keys that are refused.
            training: draws the genes of its training.

        Returns:
            The proposal, or None if :data:`MAX_DRAWS` draws found only ones that are taken.

        Raises:
            BudgetError: none of the draws keeps the limits.
        """
        known = False
        for _ in range(MAX_DRAWS):
            proposal = Proposal(self.sample(rng), training())
            if proposal.key in taken:
                known = True
            elif self.takes(proposal):
                return proposal
        if known:
            return None
        raise BudgetError(
            f"none of {MAX_DRAWS} sampled subnets fits; widen the budget or the space",
            where="budget",
        )

    def filled(
        self,
        chosen: Iterable[Proposal],
        count: int,
        taken: Container[str],
        rng: np.random.Generator,
        training: Callable[[], Training] = Training,
    ) -> list[Proposal]:
        """Return proposals without repeats, filled up to `count` with fresh ones.

        There are fewer once no admissible proposal is left that is not taken.

        Args:
            chosen: proposals that come first.
            count: number of proposals.
            taken: keys that are refused.
            rng: source of randomness.
            training: draws the genes of a fresh proposal's training.
        """
        result: dict[str, Proposal] = {}
        for proposal in chosen:
            if proposal.key not in taken and len(result) < count:
                result.setdefault(proposal.key, proposal)
        while len(result) < count:
            fresh = self.fresh(rng, Either(taken, result), training)
            if fresh is None:
                break
            result[fresh.key] = fresh
        return list(result.values())

    def losses(self, candidate: Candidate) -> tuple[float, ...]:
        """Return the objectives of a candidate, each to be made small."""
        return tuple(candidate.loss(metric) for metric in self.objectives)


@dataclass(frozen=True)
class Either:
    """The union of two containers of keys, without a copy."""

    first: Container[str]
    second: Container[str]

    def __contains__(self, key: object) -> bool:
        return key in self.first or key in self.second
