"""What a selector may ask of the space, real or made up, and what all selectors share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Protocol

import numpy as np
from pydantic import Field

from evolve.space_search.history import History, Index, Visit
from mcuformer.errors import ConfigError
from mcuformer.subnet import PositiveInt
from mcuformer.value import Value

Tau = Annotated[float, Field(gt=0.0)]


class Landscape(Protocol):
    """A grid of space points that can be visited.

    Attributes:
        history: every visit so far.
    """

    history: History

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of choices of each axis."""
        ...

    def visit(self, index: Index, rule: str, fit: dict[str, Any] | None = None) -> Visit:
        """Train the point T0 more epochs, score it, and return the recorded visit."""
        ...

    def admitted_macs(self, index: Index) -> list[int]:
        """Return the multiply-accumulates of the point's admitted sampled subnets; no training."""
        ...

    def train_jointly(self, epochs: int) -> list[Visit]:
        """Train one supernet over all points and return the score of each, in grid order."""
        ...


class SearchBudget(Value):
    """What every selector's configuration holds.

    Args:
        visit_epochs: T0, supernet epochs a visit trains.
        max_visits: budget of visits; promotions count.
        lambda_rho: weight of the admitted fraction in the score.
        num_samples: subnets sampled a point for the admitted fraction.
        accuracy_subnets: admitted subnets whose mean accuracy scores a point.
    """

    visit_epochs: PositiveInt = 30
    max_visits: PositiveInt = 30
    lambda_rho: Annotated[float, Field(ge=0.0)] = 10.0
    num_samples: PositiveInt = 500
    accuracy_subnets: PositiveInt = 20

    def check(self, shape: Sequence[int]) -> None:
        """Refuse a grid that the selector cannot work on.

        Raises:
            ConfigError: naming the field.
        """


class TrendBudget(SearchBudget):
    """A selector that fits trends.

    Args:
        k: neighbours in a fit.
        tau: score points per grid step that make one step; one value, or one an axis.
        initial_points: points visited first, stratified over the grid.
        ridge: of the least squares.
    """

    k: Annotated[int, Field(ge=3)] = 5
    tau: tuple[Tau, ...] | Tau = 0.5
    initial_points: Annotated[int, Field(ge=3)] = 6
    ridge: Annotated[float, Field(ge=0.0)] = 1e-3

    def check(self, shape: Sequence[int]) -> None:
        """Refuse a grid with fewer points than k, and a tau of the wrong length."""
        points = int(np.prod(shape))
        if points < self.k:
            raise ConfigError(
                "the grid has fewer points than k",
                where="space_search.k",
                got=self.k,
                expected=f"at most {points}",
            )
        if isinstance(self.tau, tuple) and len(self.tau) != len(shape):
            raise ConfigError(
                "needs one value an axis",
                where="space_search.tau",
                got=f"{len(self.tau)} values",
                expected=f"{len(shape)}, or a single number",
            )

    def taus(self, dimensions: int) -> tuple[float, ...]:
        """Return the threshold of each axis."""
        return self.tau if isinstance(self.tau, tuple) else (self.tau,) * dimensions


def stratified(shape: Sequence[int], count: int, rng: np.random.Generator) -> list[Index]:
    """Draw distinct grid points that spread over every axis (a Latin hypercube), then random ones.

    Args:
        shape: of the grid.
        count: of points, at most the grid's size.

    >>> rows, cols = zip(*stratified((4, 4), 4, np.random.default_rng(0)))
    >>> sorted(rows), sorted(cols)
    ([0, 1, 2, 3], [0, 1, 2, 3])
    """
    columns = [np.minimum(rng.permutation(count) * length // count, length - 1) for length in shape]
    chosen = list(dict.fromkeys(tuple(int(c[i]) for c in columns) for i in range(count)))
    chosen += [index for index in shuffled(shape, rng) if index not in set(chosen)]
    return chosen[:count]


def shuffled(shape: Sequence[int], rng: np.random.Generator) -> list[Index]:
    """Return all grid points in random order."""
    points = list(np.ndindex(*shape))
    return [points[int(i)] for i in rng.permutation(len(points))]


def visit_first(
    landscape: Landscape, count: int, max_visits: int, rng: np.random.Generator
) -> None:
    """Visit the initial points, and further ones until three have a score to fit a plane to.

    The budget of visits is exceeded only as long as no point has a score at all.
    """
    first = stratified(landscape.shape, min(count, int(np.prod(landscape.shape))), rng)
    rest = [index for index in shuffled(landscape.shape, rng) if index not in first]
    for number, index in enumerate([*first, *rest]):
        scored = sum(visit.score is not None for visit in landscape.history.visits)
        enough = number >= len(first) and scored >= 3
        if enough or (len(landscape.history) >= max_visits and scored >= 1):
            break
        landscape.visit(index, "initial")


def best_at_last(history: History) -> Index:
    """Return the best-scored point among those trained longest."""
    return max(history.at(history.levels()[-1]), key=lambda visit: visit.rank).index
