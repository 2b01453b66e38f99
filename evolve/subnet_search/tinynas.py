"""TinyNAS: choose a part of the space by the work of what fits, then evolve inside of it.

Source: MCUNet (Lin et al., 2020, section 3.1). Its space of an input resolution and a width
multiplier is here one of an outer point, which sets resolution and patch, and a largest width.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from evolve.subnet_search.candidate import Candidate, Proposal
from evolve.subnet_search.evolution import EvolutionConfig
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.strategy import Strategy
from mcuformer.errors import BudgetError
from mcuformer.limits import MAX_CHOICES, Candidates
from mcuformer.pictures import draw_distributions
from mcuformer.seed import stream

Multiplier = Annotated[float, Field(gt=0.0, le=1.0)]
Multipliers = Annotated[tuple[Multiplier, ...], Field(min_length=1, max_length=MAX_CHOICES)]


class TinynasConfig(Strategy):
    """Settings of TinyNAS.

    Args:
        width_multipliers: a part of the space has the embedding widths up to this multiple of the
            largest one; multiples with the same widths are one part.
        samples: number of subnets drawn of each part.
        quantile: quantile of the MACs of those that fit by which parts are compared; null is their
            mean.
        evolution: evolution inside the chosen part.
    """

    draws: ClassVar[bool] = True
    name: Literal["tinynas"] = "tinynas"
    width_multipliers: Multipliers = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    samples: Candidates = 400
    quantile: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    evolution: EvolutionConfig = EvolutionConfig()

    @field_validator("width_multipliers")
    @classmethod
    def _ascending(cls, choices: Multipliers) -> Multipliers:
        if list(choices) != sorted(set(choices)):
            raise ValueError("choices must ascend without repetition")
        return choices

    @property
    def evaluations(self) -> int:
        return self.evolution.evaluations

    @property
    def batch(self) -> int:
        return self.evolution.batch

    @property
    def elite(self) -> int:
        return self.evolution.elite

    def propose(
        self,
        problem: Problem,
        history: Sequence[Candidate],
        taken: Container[str],
        rng: np.random.Generator,
    ) -> list[Proposal]:
        return self.evolution.propose(self.chosen(problem).problem, history, taken, rng)

    def chosen(self, problem: Problem) -> Part:
        """Return the part of the space whose fitting subnets compute most.

        Raises:
            BudgetError: no drawn subnet of any part fits.
        """
        found = parts(problem, self.width_multipliers, self.samples)
        if not any(part.macs for part in found):
            raise BudgetError(
                f"none of {self.samples} sampled subnets of any part of the space fits; widen the "
                "budget or the space",
                where="budget",
            )
        return max(found, key=lambda part: part.worth(self.quantile))

    def picture(self, problem: Problem) -> bytes:
        """Draw the distribution of the MACs of what fits, for every part of the space."""
        found = parts(problem, self.width_multipliers, self.samples)
        macs = {part.name: part.macs for part in found}
        return draw_distributions(macs, self.chosen(problem).name, "MACs of subnets that fit")


@dataclass(frozen=True)
class Part:
    """A part of a space.

    Args:
        problem: the problem inside of it.
        macs: multiply-accumulates of the drawn subnets that fit, ascending.
    """

    problem: Problem
    macs: tuple[int, ...]

    @property
    def name(self) -> str:
        """The point and the largest width."""
        [point] = self.problem.points
        return f"{point.name}, width up to {self.problem.space.embed_dim[-1]}"

    def worth(self, quantile: float | None) -> float:
        """Return the mean of the MACs, or a quantile; -1 if nothing fits."""
        if not self.macs:
            return -1.0
        return float(np.mean(self.macs) if quantile is None else np.quantile(self.macs, quantile))


@lru_cache(maxsize=16)
def parts(problem: Problem, multipliers: tuple[float, ...], samples: int) -> tuple[Part, ...]:
    """Return the parts of a space; what is drawn of a part depends on the arguments alone.

    So all generations of a search, and all its workers, choose the same part.
    """
    widths = problem.space.embed_dim
    caps = (tuple(width for width in widths if width <= m * widths[-1]) for m in multipliers)
    distinct = dict.fromkeys(filter(None, caps))
    found = []
    for point in problem.points:
        for embed_dim in distinct:
            space = problem.space.model_copy(update={"embed_dim": embed_dim})
            inside = replace(problem, space=space, points=(point,))
            rng = stream(0, "tinynas", point.name, *embed_dim)
            drawn = (inside.sample(rng) for _ in range(samples))
            macs = sorted(subnet.macs for subnet in drawn if problem.takes(Proposal(subnet)))
            found.append(Part(inside, tuple(macs)))
    return tuple(found)
