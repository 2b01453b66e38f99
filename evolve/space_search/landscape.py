"""What a selector may ask of a space, real or synthetic, and what all selectors share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Protocol

import numpy as np
from pydantic import Field

from evolve.space_search.history import History, Index, Visit
from evolve.space_search.scale import Amounts, Scale
from mcuformer.errors import ConfigError
from mcuformer.limits import MAX_POINTS, Candidates, Epochs
from mcuformer.value import Value

Tau = Annotated[float, Field(gt=0.0, le=1e6)]


class Landscape(Protocol):
    """A grid of space points that can be visited.

    Attributes:
        history: every visit so far.
    """

    history: History

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of choices per axis."""
        ...

    @property
    def axes(self) -> Amounts:
        """What the choices of each axis amount to, for distances and slopes."""
        ...

    def visit(self, index: Index, rule: str, fit: dict[str, Any] | None = None) -> Visit:
        """Train the point for T0 more epochs, score it, and return the recorded visit."""
        ...

    def admitted_macs(self, index: Index) -> list[int]:
        """Return the multiply-accumulates of the point's admitted samples, without training."""
        ...

    def train_jointly(self, epochs: int) -> list[Visit]:
        """Train one supernet over all points; return a visit per point, in grid order."""
        ...


class SearchBudget(Value):
    """Settings of every selector.

    Args:
        visit_epochs: T0, the epochs that one visit trains.
        max_visits: largest number of visits, promotions included; null is a third of the grid, at
            least :attr:`fewest_visits`.
        lambda_rho: weight of the admitted fraction in the score.
        num_samples: subnets sampled per point for the admitted fraction.
        accuracy_subnets: admitted subnets whose mean accuracy scores a point.

    Attributes:
        joint: whether one supernet is trained over all points, instead of one per visit.
        trains: whether points are visited at all; otherwise sizes decide.
    """

    joint: ClassVar[bool] = False
    trains: ClassVar[bool] = True
    visit_epochs: Epochs = 30
    max_visits: Candidates | None = None
    lambda_rho: Annotated[float, Field(ge=0.0, le=1e6)] = 10.0
    num_samples: Candidates = 500
    accuracy_subnets: Candidates = 20

    @property
    def fewest_visits(self) -> int:
        """The least number of visits by default, on a small grid."""
        return 8

    def visits(self, shape: Sequence[int]) -> int:
        """Return the largest number of visits on a grid.

        Args:
            shape: number of choices per axis.

        >>> SearchBudget().visits((12, 5)), SearchBudget().visits((3, 3))
        (20, 8)
        """
        if not self.trains:
            return 0
        if self.max_visits is not None:
            return self.max_visits
        return max(math.ceil(math.prod(shape) / 3), self.fewest_visits)

    def select(self, landscape: Landscape, rng: np.random.Generator) -> Index:
        """Return the grid point that the selector chooses, by visits within its budget."""
        raise NotImplementedError

    def check(self, shape: Sequence[int]) -> None:
        """Refuse a grid that the selector cannot work on.

        Args:
            shape: number of choices per axis.

        Raises:
            ConfigError: a setting does not suit the grid.
        """


class StartedBudget(SearchBudget):
    """Settings of the selectors that start with points spread over the grid.

    Args:
        initial_points: number of points that are visited first, stratified over the grid.
    """

    initial_points: Annotated[int, Field(ge=3, le=MAX_POINTS)] = 6


class TrendBudget(StartedBudget):
    """Settings of the selectors that fit trends.

    Args:
        k: number of points in a fit.
        tau: slope, in score points per grid step, that makes one step; one value, or one per axis.
        scale: unit of distances and slopes: ``grid`` steps, or ``log`` of rank ratio and number of
            tokens, in mean grid steps.
        ridge: penalty on squared slopes in the fit.
    """

    k: Annotated[int, Field(ge=3, le=MAX_POINTS)] = 5
    tau: tuple[Tau, ...] | Tau = 0.5
    scale: Scale = "log"
    ridge: Annotated[float, Field(ge=0.0, le=1e6)] = 1e-3

    @property
    def fewest_visits(self) -> int:
        """The least number of visits by default: those of a fit, and three more."""
        return self.k + 3

    def check(self, shape: Sequence[int]) -> None:
        """Refuse a grid with fewer than k points, and a tau of the wrong length.

        Raises:
            ConfigError: `k` or `tau` does not suit the grid.
        """
        points = math.prod(shape)
        if points < self.k:
            raise ConfigError(
                "the grid has fewer points than k",
                where="space_search.k",
                got=self.k,
                expected=f"at most {points}",
            )
        if isinstance(self.tau, tuple) and len(self.tau) != len(shape):
            raise ConfigError(
                "needs one value per axis",
                where="space_search.tau",
                got=f"{len(self.tau)} values",
                expected=f"{len(shape)}, or a single number",
            )

    def taus(self, dimensions: int) -> tuple[float, ...]:
        """Return tau per axis, for a grid of so many dimensions."""
        return self.tau if isinstance(self.tau, tuple) else (self.tau,) * dimensions


def stratified(shape: Sequence[int], count: int, rng: np.random.Generator) -> list[Index]:
    """Draw distinct grid points that spread evenly over every axis (a Latin hypercube).

    On each axis the numbers 0 ... count - 1 are permuted and scaled to the axis's length, so that
    each choice occurs floor or ceil(count / length) times. Axes are permuted independently, so two
    points may coincide; random ones replace the duplicates.

    Args:
        shape: number of choices per axis.
        count: number of points, at most the grid's size.
        rng: source of randomness.

    >>> rows, cols = zip(*stratified((4, 4), 4, np.random.default_rng(0)))
    >>> sorted(rows), sorted(cols)
    ([0, 1, 2, 3], [0, 1, 2, 3])
    """
    axes = [np.minimum(rng.permutation(count) * length // count, length - 1) for length in shape]
    chosen = list(dict.fromkeys(tuple(int(axis[i]) for axis in axes) for i in range(count)))
    chosen += [index for index in shuffled(shape, rng) if index not in set(chosen)]
    return chosen[:count]


def shuffled(shape: Sequence[int], rng: np.random.Generator) -> list[Index]:
    """Return all grid points in random order."""
    points = list(np.ndindex(*shape))
    return [points[int(i)] for i in rng.permutation(len(points))]


def visit_first(
    landscape: Landscape, count: int, max_visits: int, rng: np.random.Generator
) -> None:
    """Visit the initial points, then random ones until three points have a score.

    A plane over two axes needs three scores. The budget of visits is exceeded only while no point
    has a score at all.
    """
    initial = stratified(landscape.shape, min(count, math.prod(landscape.shape)), rng)
    others = [index for index in shuffled(landscape.shape, rng) if index not in initial]
    for number, index in enumerate([*initial, *others]):
        scored = sum(visit.score is not None for visit in landscape.history.visits)
        enough = number >= len(initial) and scored >= 3
        if enough or (len(landscape.history) >= max_visits and scored >= 1):
            break
        landscape.visit(index, "initial")


def best_at_last(history: History) -> Index:
    """Return the point with the best score among those trained longest."""
    return max(history.at(history.levels()[-1]), key=lambda visit: visit.rank).index
