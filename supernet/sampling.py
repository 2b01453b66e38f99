"""Which subnets a training step visits: uniform, sandwich and budget-aware sampling.

A sampler is a function of (epoch, step) and the seed, so that a training may resume anywhere; what
fits the device is a callable, so that this package knows nothing of devices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal, Protocol

import numpy as np
from pydantic import Field

from mcuformer.errors import BudgetError, ConfigError
from mcuformer.seed import stream
from mcuformer.space import SearchSpace, SpacePoint, draw
from mcuformer.subnet import PositiveInt, SubnetConfig
from mcuformer.value import Value

Admissible = Callable[[SubnetConfig], bool]
CANDIDATES = 512


class UniformSampling(Value):
    """One uniformly sampled subnet a step (AutoFormer; MCUFormer, section 3.1)."""

    name: Literal["uniform"]


class SandwichSampling(Value):
    """The largest, the smallest and random subnets a step (BigNAS, Yu et al., 2020, section 3).

    Largest and smallest are those that fit the budget, where there is one. The largest learns from
    the labels, the others from the largest.

    Args:
        num_random: random subnets besides the two.
        weight: share of the largest one's logits in the loss of the others.
    """

    name: Literal["sandwich"]
    num_random: Annotated[int, Field(ge=0)] = 1
    weight: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0


class BudgetAwareSampling(Value):
    """Only subnets that fit the budget, of MACs near the step's before (ElasticViT, 2023, 4.2).

    The admissible subnets among :data:`CANDIDATES` fresh draws an epoch are sorted by MACs and cut
    into levels; a random walk over the levels moves by at most one a step.

    Args:
        levels: of MACs.
    """

    name: Literal["budget_aware"]
    levels: PositiveInt = 8


SamplingConfig = Annotated[
    UniformSampling | SandwichSampling | BudgetAwareSampling, Field(discriminator="name")
]


class Sampler(Protocol):
    """Draws the subnets of a step; after the first, they learn from it by `in_place_weight`."""

    in_place_weight: float

    def __call__(self, epoch: int, step: int) -> Sequence[SubnetConfig]:
        """Return the subnets of one step."""


@dataclass(frozen=True)
class Pool:
    """The subnets that a supernet may be asked for.

    Args:
        points: one, or all of a joint supernet, drawn from uniformly.
        seed: of the run.
        admissible: tells what fits the budget; None admits everything.
        joint: of a joint supernet.
    """

    space: SearchSpace
    points: Sequence[SpacePoint]
    seed: int
    admissible: Admissible | None = None
    joint: bool = False

    def sample(self, rng: np.random.Generator) -> SubnetConfig:
        """Draw any subnet uniformly."""
        return self.space.sample(draw(self.points, rng), rng, joint=self.joint)

    def admitted(self, *names: str | int) -> list[SubnetConfig]:
        """Return the admissible ones among fresh draws of a stream, by ascending MACs.

        The extremes of every point are among the candidates.

        Raises:
            BudgetError: none is admissible.
        """
        rng = stream(self.seed, "pool", *names)
        extremes = [
            extreme(point, joint=self.joint)
            for point in self.points
            for extreme in (self.space.smallest, self.space.largest)
        ]
        candidates = extremes + [self.sample(rng) for _ in range(CANDIDATES)]
        admitted = [s for s in candidates if self.admissible is None or self.admissible(s)]
        if not admitted:
            raise BudgetError(
                f"none of {len(candidates)} subnets fits, the smallest included; widen the budget "
                "or the space",
                where="space",
            )
        return sorted(admitted, key=lambda subnet: subnet.macs)


class UniformSampler:
    """See :class:`UniformSampling`."""

    in_place_weight = 0.0

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def __call__(self, epoch: int, step: int) -> Sequence[SubnetConfig]:
        """Draw the subnet of one step."""
        return [self.pool.sample(stream(self.pool.seed, "sampling", epoch, step))]


class SandwichSampler:
    """See :class:`SandwichSampling`."""

    def __init__(self, config: SandwichSampling, pool: Pool) -> None:
        self.pool, self.num_random, self.in_place_weight = pool, config.num_random, config.weight
        admitted = pool.admitted()
        self.smallest, self.largest = admitted[0], admitted[-1]

    def __call__(self, epoch: int, step: int) -> Sequence[SubnetConfig]:
        """Return the largest, the smallest and random subnets."""
        rng = stream(self.pool.seed, "sampling", epoch, step)
        fresh = [self.pool.sample(rng) for _ in range(self.num_random)]
        return [self.largest, self.smallest, *fresh]


class BudgetAwareSampler:
    """See :class:`BudgetAwareSampling`."""

    in_place_weight = 0.0

    def __init__(self, config: BudgetAwareSampling, pool: Pool, steps_per_epoch: int) -> None:
        self.pool, self.levels, self.steps = pool, config.levels, steps_per_epoch
        self.plan = lru_cache(maxsize=1)(self._plan)  # an epoch's steps share their draws
        self.plan(0)  # refuses an impossible budget before anything is trained

    def __call__(self, epoch: int, step: int) -> Sequence[SubnetConfig]:
        """Draw an admissible subnet of the step's level."""
        return [draw(self.plan(epoch)[step], stream(self.pool.seed, "sampling", epoch, step))]

    def _plan(self, epoch: int) -> Sequence[Sequence[SubnetConfig]]:
        """Return, for every step of an epoch, the subnets of the level it draws from."""
        admitted = self.pool.admitted(epoch)
        cuts = np.array_split(np.arange(len(admitted)), min(self.levels, len(admitted)))
        levels = [[admitted[index] for index in cut] for cut in cuts]
        rng, walk = stream(self.pool.seed, "walk", epoch), []
        place = int(rng.integers(len(levels)))
        for move in rng.integers(-1, 2, self.steps):
            walk.append(levels[place])
            place = min(max(place + int(move), 0), len(levels) - 1)
        return walk


def build_sampler(config: SamplingConfig, pool: Pool, steps_per_epoch: int) -> Sampler:
    """Build the configured sampler.

    Raises:
        ConfigError: budget-aware sampling without a budget.
        BudgetError: no subnet of the space fits it.
    """
    match config:
        case UniformSampling():
            return UniformSampler(pool)
        case SandwichSampling():
            return SandwichSampler(config, pool)
        case BudgetAwareSampling():
            if pool.admissible is None:
                raise ConfigError(
                    "sampling=budget_aware needs to know the device", where="device", got="none"
                )
            return BudgetAwareSampler(config, pool, steps_per_epoch)


def heeds_budget(config: SamplingConfig) -> bool:
    """Tell whether what is sampled, and so every weight, depends on the budget."""
    return not isinstance(config, UniformSampling)
