"""The share that pruning takes away, as a gene of a candidate's training.

Source: muNAS (Liberis et al., 2021, section 4.1), with the rates of its code: the first shares are
uniform, and every child changes its parent's by a normal step.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field

from evolve.subnet_search.candidate import Share

STEP = 0.05  # standard deviation of a mutation
DIGITS = 3  # of a share


def _ascending(limits: tuple[float, ...]) -> tuple[float, ...]:
    if limits[0] >= limits[1]:
        raise ValueError("the smallest share must be below the largest")
    return limits


Shares = Annotated[tuple[Share, ...], Field(min_length=2, max_length=2), AfterValidator(_ascending)]
"""Smallest and largest share."""


def drawn(limits: Shares | None, rng: np.random.Generator) -> float | None:
    """Draw a share uniformly; without limits it is no gene, and nothing is drawn."""
    return None if limits is None else _within(limits, rng.uniform(limits[0], limits[1]))


def mutated(limits: Shares | None, share: float | None, rng: np.random.Generator) -> float | None:
    """Return a share a normal step away, inside the limits; one that is no gene stays None."""
    if limits is None or share is None:
        return None
    return _within(limits, share + rng.normal(scale=STEP))


def _within(limits: Shares, share: float) -> float:
    return float(np.clip(round(share, DIGITS), limits[0], limits[1]))
