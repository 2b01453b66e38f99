"""What a space search has seen: one visit a line, and the result."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mcuformer.space import SpacePoint
from mcuformer.value import Value

Percent = Annotated[float, Field(ge=0.0, le=100.0)]


class Visit(Value):
    """One visit of a point.

    Args:
        index: of the point in the grid (rank_ratio, patch_size).
        epochs: epochs its supernet has been trained in total.
        admitted_fraction: rho, the share of sampled subnets within the budget.
        accuracy_percent: mean over admitted subnets on the steering split; null where none fits.
        score: Q = Acc + lambda * rho; null where none fits.
        sram_bytes: mean SRAM of the admitted subnets, which breaks ties.
        rule: why the point was visited.
    """

    point: SpacePoint
    index: tuple[int, int]
    epochs: Annotated[int, Field(ge=0)]
    admitted_fraction: Annotated[float, Field(ge=0.0, le=1.0)]
    accuracy_percent: Percent | None
    score: float | None
    sram_bytes: float | None
    rule: str


def best_visit(visits: list[Visit]) -> Visit:
    """Return the visit with the highest score; ties go to the smaller footprint."""
    scored = [visit for visit in visits if visit.score is not None]
    return max(scored, key=lambda visit: (visit.score, -(visit.sram_bytes or 0.0)))
