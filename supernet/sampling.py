"""Which subnets a training step visits: uniform, sandwich and budget-aware sampling.

A sampler is a function of seed, epoch and step, so that a training can resume anywhere. Whether a
subnet fits the device is a callable, so that samplers need not know what a device is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Annotated, Literal, NamedTuple, Protocol

import numpy as np
from pydantic import Field

from mcuformer.errors import BudgetError, ConfigError
from mcuformer.seed import stream
from mcuformer.space import SearchSpace, SpacePoint, draw
from mcuformer.subnet import SubnetConfig
from mcuformer.value import Value

Admissible = Callable[[SubnetConfig], bool]
CANDIDATES = 512


class UniformSampling(Value):
    """One uniformly sampled subnet per step (AutoFormer; MCUFormer, section 3.1)."""

    name: Literal["uniform"]


class SandwichSampling(Value):
    """The largest, the smallest and random subnets in each step (BigNAS, Yu et al., 2020, 3).

    Largest and smallest are taken among the subnets that fit the budget, if there is one. The
    largest learns from all images of the step and teaches the others. Unlike in BigNAS, these share
    the images out, so that a step costs little more than the largest subnet's.

    Args:
        num_random: random subnets per step, in addition to the two extremes.
        weight: share of the largest subnet's logits in the loss of the others; the labels have the
            rest.
    """

    name: Literal["sandwich"]
    num_random: Annotated[int, Field(ge=0, le=64)] = 2
    weight: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5


class BudgetAwareSampling(Value):
    """Only subnets that fit the budget, with MACs close to the previous step's (ElasticViT, 4.2).

    Each epoch draws :data:`CANDIDATES` subnets, sorts the admissible ones by MACs and cuts them
    into levels; a random walk over the levels moves by at most one level per step. Source: Tang et
    al., 2023.

    Args:
        levels: number of levels.
    """

    name: Literal["budget_aware"]
    levels: Annotated[int, Field(ge=1, le=CANDIDATES)] = 8


SamplingConfig = Annotated[
    UniformSampling | SandwichSampling | BudgetAwareSampling, Field(discriminator="name")
]


class Visit(NamedTuple):
    """A subnet of a training step.

    Args:
        subnet: the subnet.
        images: which of the step's images pass through it.
    """

    subnet: SubnetConfig
    images: slice = slice(None)


class Sampler(Protocol):
    """Draws the subnets of a step.

    Attributes:
        in_place_weight: share of the first subnet's logits in the loss of the others; the first
            sees all images if this is not 0.
        parts: number of subnets that share the images of a step out, at least one for each.
    """

    in_place_weight: float
    parts: int

    def __call__(self, epoch: int, step: int) -> Sequence[Visit]:
        """Return the visits of step `step` of epoch `epoch`, the teacher of the others first."""


@dataclass(frozen=True)
class Pool:
    """The subnets of a supernet.

    Args:
        space: search space of the supernet.
        points: its outer points, drawn from uniformly: one, or all of a joint supernet.
        seed: seed of the run.
        admissible: returns whether a subnet fits the budget; None admits everything.
        full_rank_factors: whether linears of ratio 1 are two factors, as in a joint supernet.
    """

    space: SearchSpace
    points: Sequence[SpacePoint]
    seed: int
    admissible: Admissible | None = None
    full_rank_factors: bool = False

    def sample(self, rng: np.random.Generator) -> SubnetConfig:
        """Draw a subnet uniformly, admissible or not."""
        return self._shared(self.space.sample(draw(self.points, rng), rng))

    def _shared(self, subnet: SubnetConfig) -> SubnetConfig:
        """Return a subnet with the layers that the supernet has."""
        return subnet.factored if self.full_rank_factors else subnet

    def draw_admitted(self, count: int, *names: str | int) -> list[SubnetConfig]:
        """Return the first `count` admissible subnets of a random stream, drawn uniformly.

        There are fewer if :data:`CANDIDATES` draws do not suffice.

        Args:
            count: number of subnets.
            names: name of the random stream, in parts.
        """
        rng = stream(self.seed, *names)
        drawn = (self.sample(rng) for _ in range(CANDIDATES))
        admitted = (s for s in drawn if self.admissible is None or self.admissible(s))
        return list(islice(admitted, count))

    def admitted(self, *names: str | int) -> list[SubnetConfig]:
        """Return the admissible subnets among fresh draws of a random stream, by ascending MACs.

        The smallest and the largest subnet of every point are candidates too.

        Args:
            names: name of the random stream, in parts.

        Raises:
            BudgetError: no candidate is admissible.
        """
        rng = stream(self.seed, "pool", *names)
        extremes = [
            self._shared(subnet)
            for point in self.points
            for subnet in (*self.space.smallest_of_each_rank(point), self.space.largest(point))
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

    in_place_weight, parts = 0.0, 1

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def __call__(self, epoch: int, step: int) -> Sequence[Visit]:
        """Draw the subnet of one step."""
        return [Visit(self.pool.sample(stream(self.pool.seed, "sampling", epoch, step)))]


class SandwichSampler:
    """See :class:`SandwichSampling`."""

    def __init__(self, config: SandwichSampling, pool: Pool) -> None:
        self.pool, self.num_random, self.in_place_weight = pool, config.num_random, config.weight
        self.parts = config.num_random + 1
        admitted = pool.admitted()
        self.smallest, self.largest = admitted[0], admitted[-1]

    def __call__(self, epoch: int, step: int) -> Sequence[Visit]:
        """Return the largest, the smallest and random subnets."""
        rng = stream(self.pool.seed, "sampling", epoch, step)
        others = [self.smallest, *(self.pool.sample(rng) for _ in range(self.num_random))]
        shared = [Visit(s, slice(part, None, self.parts)) for part, s in enumerate(others)]
        return [Visit(self.largest), *shared]


class BudgetAwareSampler:
    """See :class:`BudgetAwareSampling`."""

    in_place_weight, parts = 0.0, 1

    def __init__(self, config: BudgetAwareSampling, pool: Pool, steps_per_epoch: int) -> None:
        self.pool, self.levels, self.steps = pool, config.levels, steps_per_epoch
        self.walk = lru_cache(maxsize=1)(self._walk)  # the steps of an epoch share their draws
        self.walk(0)  # refuses an impossible budget before anything is trained

    def __call__(self, epoch: int, step: int) -> Sequence[Visit]:
        """Draw an admissible subnet of the step's level."""
        rng = stream(self.pool.seed, "sampling", epoch, step)
        return [Visit(draw(self.walk(epoch)[step], rng))]

    def _walk(self, epoch: int) -> Sequence[Sequence[SubnetConfig]]:
        """Return, for every step of an epoch, the subnets of the level that it draws from.

        A move of -1, 0 or 1 is equally likely, and one beyond an end stays. The transition matrix
        is then symmetric, so its stationary distribution is uniform, and the walk starts in it:
        every step is at every level with equal probability. Levels hold equally many subnets (to
        within one), so over the epochs all are trained alike; only neighbouring steps are related.
        """
        admitted = self.pool.admitted(epoch)
        parts = np.array_split(np.arange(len(admitted)), min(self.levels, len(admitted)))
        levels = [[admitted[index] for index in part] for part in parts]
        rng, walk = stream(self.pool.seed, "walk", epoch), []
        level = int(rng.integers(len(levels)))
        for move in rng.integers(-1, 2, self.steps):
            walk.append(levels[level])
            level = min(max(level + int(move), 0), len(levels) - 1)
        return walk


def build_sampler(config: SamplingConfig, pool: Pool, steps_per_epoch: int) -> Sampler:
    """Build the configured sampler.

    Args:
        config: which sampling, with its settings.
        pool: subnets to draw from.
        steps_per_epoch: number of steps of an epoch.

    Raises:
        ConfigError: budget-aware sampling without a device.
        BudgetError: no subnet of the space fits the budget.
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
    """Return whether the sampled subnets, and so the weights, depend on the budget."""
    return not isinstance(config, UniformSampling)
