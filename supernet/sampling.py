"""Which subnets a training step visits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from mcuformer.space import SearchSpace, SpacePoint
from mcuformer.subnet import SubnetConfig
from mcuformer.value import Value


class SamplingConfig(Value):
    """The sampling rule of supernet training."""

    name: Literal["uniform"] = "uniform"


class UniformSampler:
    """One uniformly sampled subnet a step (AutoFormer; MCUFormer, section 3.1).

    Args:
        points: that are drawn from, uniformly too: one, or all for a joint supernet.
    """

    def __init__(self, space: SearchSpace, points: Sequence[SpacePoint]) -> None:
        self.space, self.points = space, points

    def __call__(self, rng: np.random.Generator) -> SubnetConfig:
        """Draw the subnet of one step."""
        return self.space.sample(self.points[int(rng.integers(len(self.points)))], rng)
