"""Measured tables of a space's grid, and their replay to selectors without any training.

A table is a JSON file that `tools/tabulate_space.py` writes: every grid point, trained several
times from different seeds, scored after one, two, ... visits.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from evolve.space_search.history import Index, Percent
from mcuformer.errors import ConfigError
from mcuformer.limits import Candidates, Epochs, Seed
from mcuformer.run.artifact import read_value
from mcuformer.space import SearchSpace
from mcuformer.value import Value

KIND = "space_table"


class Measured(Value):
    """One grid point, trained from one seed.

    Args:
        index: grid index of the point.
        seed: seed of the run.
        admitted_fraction: rho, the share of sampled subnets that fit the budget.
        sram_bytes: mean SRAM of the admitted subnets; null if none fits.
        macs_deciles: smallest, nine deciles and largest of the admitted subnets' multiply-accumulates;
            empty if none fits.
        accuracy_percent: mean accuracy of admitted subnets after 1, 2, ... visits; empty if none
            fits.
    """

    index: Index
    seed: Seed
    admitted_fraction: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    sram_bytes: float | None = None
    macs_deciles: tuple[int, ...] = ()
    accuracy_percent: tuple[Percent, ...] = ()


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
