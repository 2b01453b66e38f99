"""Landscapes that cost nothing to visit: made-up scores with noise, or a measured table."""

from __future__ import annotations

from typing import Any

import numpy as np
from made_up_landscapes import FAMILIES, Scores
from space_table import Measured, SpaceTable

from evolve.space_search.history import History, Index, Visit
from evolve.space_search.scale import Amounts, amounts
from mcuformer.seed import stream

NOISE = 0.5  # standard deviation of a made-up score, in score points
VISIT_EPOCHS = 30  # of a made-up landscape


class ReplayLandscape:
    """A grid whose scores are known.

    Args:
        truth: score by which a choice is judged, NaN where nothing fits.
        visit_epochs: epochs that a visit trains.
        axes: what the choices of each axis amount to; None makes them 1, 2, 4, ..., whose
            logarithms are evenly spaced.
    """

    def __init__(self, truth: Scores, visit_epochs: int, axes: Amounts | None = None) -> None:
        self.truth, self.visit_epochs = truth, visit_epochs
        self.shape: tuple[int, ...] = truth.shape
        self.axes = axes or tuple(tuple(2.0**i for i in range(n)) for n in truth.shape)
        self.history = History()

    def visit(self, index: Index, rule: str, fit: dict[str, Any] | None = None) -> Visit:
        """Return a recorded visit with what is observed of the point."""
        visits = self.history.count(index) + 1
        observed = {"admitted_fraction": 1.0, "sram_bytes": None, **self.observe(index, visits)}
        epochs = 0 if observed["score"] is None else visits * self.visit_epochs
        visit = Visit(
            index=index, epochs=epochs, accuracy_percent=None, rule=rule, fit=fit, **observed
        )
        self.history.add(visit)
        return visit

    def observe(self, index: Index, visits: int) -> dict[str, Any]:
        """Return the score of a point after so many visits, and other fields of a visit."""
        raise NotImplementedError

    def admitted_macs(self, index: Index) -> list[int]:
        """Return the multiply-accumulates of the point's admitted samples."""
        raise NotImplementedError

    def train_jointly(self, epochs: int) -> list[Visit]:
        """A replay cannot train a supernet."""
        raise NotImplementedError

    def regret(self, index: Index) -> float:
        """Return by how much a point's true score is below the best one."""
        worst = np.nanmin(self.truth)
        return float(np.nanmax(self.truth) - np.nan_to_num(self.truth, nan=worst)[index])


class MadeUpLandscape(ReplayLandscape):
    """A landscape of a family; a score has normal noise, whatever the length of the training."""

    def __init__(self, family: str, seed: int) -> None:
        super().__init__(FAMILIES[family](stream(seed, "landscape")), VISIT_EPOCHS)
        self.noise = stream(seed, "noise")

    def observe(self, index: Index, visits: int) -> dict[str, Any]:
        """Return the true score with noise."""
        return {"score": float(self.truth[index] + self.noise.normal(0.0, NOISE))}


class TableLandscape(ReplayLandscape):
    """A measured table: of each point, one of its trainings is replayed, as a search sees one.

    Args:
        table: finished table.
        seed: seed of the choice of trainings.
        lambda_rho: weight of the admitted fraction in the score.
        length: visits of the table that make one visit of the replay.
    """

    def __init__(self, table: SpaceTable, seed: int, lambda_rho: float, length: int = 1) -> None:
        super().__init__(table.truth(lambda_rho), length * table.visit_epochs, amounts(table.space))
        self.lambda_rho, self.length = lambda_rho, length
        rng = stream(seed, "trainings")
        self.rows: dict[Index, Measured] = {
            index: rows[int(rng.integers(len(rows)))] for index, rows in table.by_point().items()
        }

    def observe(self, index: Index, visits: int) -> dict[str, Any]:
        """Return what was measured after so many visits, or after the longest training."""
        row = self.rows[index]
        return {
            "score": row.score(self.length * visits, self.lambda_rho),
            "admitted_fraction": row.admitted_fraction,
            "sram_bytes": row.sram_bytes,
        }

    def admitted_macs(self, index: Index) -> list[int]:
        """Return deciles of the multiply-accumulates of the point's admitted samples."""
        return list(self.rows[index].macs_deciles)
