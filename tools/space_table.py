"""Measured tables of a space's grid, and their replay to selectors without any training.

A table is a JSON file that `tools/tabulate_space.py` writes: every grid point, trained several
times from different seeds, scored after one, two, ... visits.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from evolve.space_search.history import Index, Percent
from evolve.space_search.quality import score
from mcuformer.errors import ArtifactError
from mcuformer.limits import Candidates, Epochs, Seed
from mcuformer.run.artifact import read_value
from mcuformer.space import SearchSpace
from mcuformer.value import Value

KIND = "space_table"
Scores = npt.NDArray[np.float64]


class Measured(Value):
    """One grid point, trained from one seed.

    Args:
        index: grid index of the point.
        seed: seed of the run.
        admitted_fraction: rho, the share of sampled subnets that fit the budget.
        sram_bytes: mean SRAM of the admitted subnets; null if none fits.
        macs_deciles: smallest, nine deciles and largest of the multiply-accumulates of admitted
            subnets; empty if none fits.
        accuracy_percent: mean accuracy of admitted subnets after 1, 2, ... visits; empty if none
            fits.
    """

    index: Index
    seed: Seed
    admitted_fraction: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    sram_bytes: float | None = None
    macs_deciles: tuple[int, ...] = ()
    accuracy_percent: tuple[Percent, ...] = ()

    def score(self, visits: int, lambda_rho: float) -> float | None:
        """Return Q after so many visits, at most as many as were measured; None if nothing fits."""
        if not self.accuracy_percent:
            return None
        accuracy = self.accuracy_percent[min(visits, len(self.accuracy_percent)) - 1]
        return score(accuracy, self.admitted_fraction, lambda_rho)


class SpaceTable(Value):
    """All points of a space's grid, as far as they are measured.

    Args:
        space: search space, whose grid is tabulated.
        settings: what else the figures depend on, as plain containers.
        visit_epochs: epochs of training per visit.
        visits: number of visits after which every point was scored: 1, 2, ... this number.
        seeds: seeds of the runs.
        rows: a row per point and seed.
    """

    space: SearchSpace
    settings: dict[str, Any]
    visit_epochs: Epochs
    visits: Candidates
    seeds: tuple[Seed, ...]
    rows: tuple[Measured, ...] = ()

    def by_point(self) -> dict[Index, list[Measured]]:
        """Return the rows of each point."""
        points: dict[Index, list[Measured]] = {i: [] for i in np.ndindex(*self.space.shape)}
        for row in self.rows:
            points[row.index].append(row)
        return points

    def truth(self, lambda_rho: float) -> Scores:
        """Return the mean Q of every point after its longest training, NaN where nothing fits."""
        truth = np.full(self.space.shape, np.nan)
        for index, rows in self.by_point().items():
            scores = [row.score(self.visits, lambda_rho) for row in rows]
            if None not in scores:
                truth[index] = np.mean([value for value in scores if value is not None])
        return truth


def read_table(path: Path) -> SpaceTable:
    """Read a finished table.

    Raises:
        ArtifactError: the file is missing, damaged, of another kind, or does not match its space.
        ConfigError: a field is missing, unknown or invalid.
    """
    table = read_value(path, KIND, SpaceTable)
    expected = {(seed, index) for seed in table.seeds for index in np.ndindex(*table.space.shape)}
    found = [(row.seed, row.index) for row in table.rows]
    points = f"{math.prod(table.space.shape)} points, {len(table.seeds)} seeds"
    for seed, index in found:
        if (seed, index) not in expected:
            raise ArtifactError(
                "a row that is not of the space's grid",
                where=path,
                got=f"index {list(index)}, seed {seed}",
                expected=f"a grid of {'x'.join(map(str, table.space.shape))}, {points}",
            )
    if len(found) != len(expected):
        raise ArtifactError(
            "does not match its space, or is not finished",
            where=path,
            got=f"{len(found)} rows",
            expected=f"{len(expected)}: {points}",
        )
    if len(set(found)) != len(found):
        raise ArtifactError("a point is in it twice", where=path)
    for row in table.rows:
        if len(row.accuracy_percent) not in (0, table.visits):
            raise ArtifactError(
                "is not finished",
                where=path,
                got=f"{len(row.accuracy_percent)} accuracies at index {list(row.index)}",
                expected=table.visits,
            )
    return table
