"""The visits of a space search, by grid point and by epochs trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from mcuformer.value import Value

Percent = Annotated[float, Field(ge=0.0, le=100.0)]
Index = tuple[int, ...]


class Visit(Value):
    """One visit of a grid point: T0 more epochs of its supernet, then a score.

    Args:
        index: grid index of the point, one entry per axis.
        epochs: epochs that its supernet has been trained in total.
        admitted_fraction: rho, the share of sampled subnets that fit the budget.
        accuracy_percent: mean accuracy of admitted subnets on the steering split; null if none
            fits.
        score: Q = Acc + lambda * rho; null if no subnet fits.
        sram_bytes: mean SRAM of the admitted subnets, which breaks ties; null if none fits.
        rule: why the point was visited.
        fit: trend that chose the point: slopes, intercept, neighbours, residual, step.
    """

    index: Index
    epochs: Annotated[int, Field(ge=0)]
    admitted_fraction: Annotated[float, Field(ge=0.0, le=1.0)]
    accuracy_percent: Percent | None
    score: float | None
    sram_bytes: float | None
    rule: str
    fit: dict[str, Any] | None = None

    @property
    def rank(self) -> tuple[float, float]:
        """Sort key, larger is better; of equal scores the smaller SRAM wins."""
        score = -float("inf") if self.score is None else self.score
        return score, -(self.sram_bytes or 0.0)


@dataclass
class History:
    """Visits in the order they were made."""

    visits: list[Visit] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.visits)

    def add(self, visit: Visit) -> None:
        """Append a visit."""
        self.visits.append(visit)

    def count(self, index: Index) -> int:
        """Return the number of visits of a point."""
        return sum(visit.index == index for visit in self.visits)

    def epochs(self, index: Index) -> int:
        """Return the epochs that a point has been trained so far."""
        return max((visit.epochs for visit in self.visits if visit.index == index), default=0)

    def at(self, epochs: int) -> list[Visit]:
        """Return the scored visits of points trained for exactly `epochs`: only they compare."""
        return [v for v in self.visits if v.epochs == epochs and v.score is not None]

    def seen(self) -> set[Index]:
        """Return every visited point, including those without a score."""
        return {visit.index for visit in self.visits}

    def levels(self) -> list[int]:
        """Return the total epochs at which points were scored, ascending."""
        return sorted({visit.epochs for visit in self.visits if visit.score is not None})
