"""Several objectives as one number, by random Chebyshev scalarisations.

Source: Paria et al., 2019, section 3.2; bounds that an objective may exceed, up to a cap, as in
muNAS (Liberis et al., 2021, section 4.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from evolve.subnet_search.candidate import Candidate, Metric
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.shares import Shares
from evolve.subnet_search.strategy import Strategy
from mcuformer.errors import BudgetError

Values = npt.NDArray[np.float64]

CAP = 10.0  # multiples of its bound beyond which an objective grows no worse


@dataclass(frozen=True)
class Scalarisation:
    """Objectives with the bounds that they aim at.

    Args:
        bounds: bound of each objective's loss by its metric; other metrics are no objectives.
    """

    bounds: dict[Metric, float]

    @classmethod
    def of(cls, problem: Problem, error_percent: float) -> Scalarisation:
        """Return the problem's soft bounds or, if it has none, its limits and that of the error.

        Args:
            problem: problem.
            error_percent: bound of the error, where the problem has no soft bounds.

        Raises:
            BudgetError: all soft bounds are null.
        """
        soft, limit = problem.soft, problem.limit
        found: dict[Metric, float | None] = {
            "accuracy_percent": error_percent if soft is None else soft.error_percent,
            "sram_bytes": (soft or limit).sram_bytes,
            "flash_bytes": (soft or limit).flash_bytes,
            "macs": (soft or limit).macs,
            "milliseconds": (soft or limit).milliseconds,
        }
        bounds = {metric: float(bound) for metric, bound in found.items() if bound is not None}
        if not bounds:
            raise BudgetError("no bound", where="budget.soft", expected="at least one")
        return cls(bounds)

    def among(self, metrics: Sequence[Metric]) -> Scalarisation:
        """Return the scalarisation of these objectives alone.

        Raises:
            BudgetError: one has no bound.
        """
        for metric in metrics:
            if metric not in self.bounds:
                field = "error_percent" if metric == "accuracy_percent" else metric
                raise BudgetError(
                    "no bound of an objective", where=f"budget.soft.{field}", got=None
                )
        return Scalarisation({metric: self.bounds[metric] for metric in metrics})

    def losses(self, candidates: Sequence[Candidate]) -> Values:
        """Return the loss of every objective, (candidates, objectives)."""
        rows = [[candidate.loss(metric) for metric in self.bounds] for candidate in candidates]
        return np.array(rows, np.float64).reshape(len(candidates), len(self.bounds))

    def weights(self, rng: np.random.Generator) -> Values:
        """Draw the weight of every objective from U(0, 1]."""
        return 1.0 - rng.random(len(self.bounds))

    def scalars(self, losses: Values, weights: Values) -> Values:
        """Return the largest of min(loss / bound, 10) / weight of each row, to be made small."""
        shares = np.minimum(losses / np.array(list(self.bounds.values())), CAP)
        result: Values = (shares / weights).max(axis=1)
        return result

    def keeps_sizes(self, candidate: Candidate) -> bool:
        """Return whether a candidate keeps all bounds apart from the error's."""
        return all(
            candidate.loss(metric) <= bound
            for metric, bound in self.bounds.items()
            if metric != "accuracy_percent"
        )


class ScalarisedStrategy(Strategy):
    """A strategy that compares candidates under random scalarisations, one proposal at a time.

    Args:
        error_percent: bound of the classification error; ``budget.soft``, if given, has its own.
        pruning_share: smallest and largest share that pruning by feedback takes away, as a gene of
            every candidate in place of the evaluator's share; null is no gene.
    """

    error_percent: Annotated[float, Field(gt=0.0, le=100.0)] = 10.0
    pruning_share: Shares | None = None

    @property
    def shares(self) -> Shares | None:
        return self.pruning_share

    @property
    def batch(self) -> int:
        return 1

    @property
    def elite(self) -> int:
        return self.evaluations  # every candidate may win under some weights

    def metrics(self, problem: Problem) -> tuple[Metric, ...]:
        return tuple(self.scalarisation(problem).bounds)

    def scalarisation(self, problem: Problem) -> Scalarisation:
        """Return the objectives with their bounds.

        Raises:
            BudgetError: all soft bounds are null.
        """
        return Scalarisation.of(problem, self.error_percent)

    def best(self, problem: Problem, candidates: Sequence[Candidate]) -> Candidate:
        """Return the most accurate candidate within all bounds of sizes.

        If there is none, it is the one with the least scalarisation under equal weights.
        """
        scalarisation = self.scalarisation(problem)
        keeping = [c for c in candidates if scalarisation.keeps_sizes(c)]
        if keeping:
            return super().best(problem, keeping)
        equal = np.ones(len(scalarisation.bounds))
        scalars = scalarisation.scalars(scalarisation.losses(candidates), equal)
        _, best = min(
            zip(scalars, candidates, strict=True), key=lambda pair: (pair[0], pair[1].rank)
        )
        return best
