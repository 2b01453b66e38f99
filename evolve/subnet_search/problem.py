"""What a search is asked: subnets to choose from, limits that they keep, and objectives."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from evolve.subnet_search.candidate import Candidate, Metric, Proposal
from mcuformer.device import Budget, SoftBounds
from mcuformer.errors import BudgetError
from mcuformer.space import SearchSpace, SpacePoint
from mcuformer.subnet import SubnetConfig

MAX_DRAWS = 10_000


@dataclass(frozen=True)
class Problem:
    """The question that every strategy answers.

    Args:
        space: search space.
        points: outer points whose subnets are searched; several if a joint supernet or a training
            from scratch evaluates them.
        admits: returns whether a subnet keeps the hard limits.
        limit: these limits.
        objectives: metrics to optimise.
        soft: bounds that strategies with a scalarisation aim at; None takes the hard limits.
    """

    space: SearchSpace
    points: tuple[SpacePoint, ...]
    admits: Callable[[SubnetConfig], bool]
    limit: Budget
    objectives: tuple[Metric, ...] = ("accuracy_percent",)
    soft: SoftBounds | None = None

    def identity(self) -> dict[str, Any]:
        """Return everything that proposals depend on, as plain containers."""
        return {
            "space": self.space.dump(),
            "points": [point.dump() for point in self.points],
            "limit": self.limit.dump(),
            "objectives": list(self.objectives),
            "soft": None if self.soft is None else self.soft.dump(),
        }

    def sample(self, rng: np.random.Generator) -> SubnetConfig:
        """Draw a point and a subnet of it uniformly; it may exceed the limits."""
        point = self.points[int(rng.integers(len(self.points)))] if self.points[1:] else None
        return self.space.sample(self.points[0] if point is None else point, rng)

    def fresh(self, rng: np.random.Generator, taken: Container[str]) -> SubnetConfig | None:
        """Draw an admissible subnet whose key is not taken, by rejection.

        Returns:
            The subnet, or None if :data:`MAX_DRAWS` draws found only subnets that are taken.

        Raises:
            BudgetError: none of the draws keeps the limits.
        """
        known = False
        for _ in range(MAX_DRAWS):
            subnet = self.sample(rng)
            if subnet.key in taken:
                known = True
            elif self.admits(subnet):
                return subnet
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
    ) -> list[Proposal]:
        """Return proposals without repeats, filled up to `count` with fresh subnets.

        There are fewer once no admissible subnet is left that is not taken.
        """
        result: dict[str, Proposal] = {}
        for proposal in chosen:
            if proposal.key not in taken and len(result) < count:
                result.setdefault(proposal.key, proposal)
        while len(result) < count:
            subnet = self.fresh(rng, Either(taken, result))
            if subnet is None:
                break
            result[subnet.key] = Proposal(subnet)
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
