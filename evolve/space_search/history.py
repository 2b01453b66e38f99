"""What a space search has seen: visits, by grid point and by epochs trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from mcuformer.value import Value

Percent = Annotated[float, Field(ge=0.0, le=100.0)]
Index = tuple[int, ...]


class Visit(Value):
    """One visit of a grid point: T0 more epochs of its supernet, and the score after them.

    Args:
        index: of the point in the grid, an entry an axis.
        epochs: epochs its supernet has been trained in total.
        admitted_fraction: rho, the share of sampled subnets within the budget.
        accuracy_percent: mean over admitted subnets on the steering split; null where none fits.
        score: Q = Acc + lambda * rho; null where none fits.
        sram_bytes: mean SRAM of the admitted subnets, which breaks ties.
        rule: why the point was visited.
        fit: the trend that led here: slopes, intercept, neighbours, residual, step.
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
        """Sort key: larger is better; ties go to the smaller footprint."""
        score = -float("inf") if self.score is None else self.score
        return score, -(self.sram_bytes or 0.0)


@dataclass
class History:
    """Visits in order."""

    visits: list[Visit] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.visits)

    def add(self, visit: Visit) -> None:
        """Append a visit."""
        self.visits.append(visit)

    def count(self, index: Index) -> int:
        """Return how often a point was visited."""
        return sum(visit.index == index for visit in self.visits)

    def epochs(self, index: Index) -> int:
        """Return the epochs a point has been trained so far."""
        return max((visit.epochs for visit in self.visits if visit.index == index), default=0)

    def at(self, epochs: int) -> list[Visit]:
        """Return the scored visits after exactly so many total epochs: what may be compared."""
        return [v for v in self.visits if v.epochs == epochs and v.score is not None]

    def seen(self) -> set[Index]:
        """Return every point visited, inadmissible ones too."""
        return {visit.index for visit in self.visits}

    def levels(self) -> list[int]:
        """Return the totals of epochs at which something was scored, ascending."""
        return sorted({visit.epochs for visit in self.visits if visit.score is not None})
