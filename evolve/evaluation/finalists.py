"""The best candidates of a search, compared by the accuracy of their integer networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from evolve.subnet_search.candidate import Candidate
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.strategy import Strategy
from mcuformer.data.dataset import Dataset
from mcuformer.data.images import Split
from mcuformer.errors import BudgetError
from oplib.forms import Forms
from oplib.network.reference import IntegerModel, run_integer
from oplib.network.vit import float_model
from oplib.quantize.lower import quantize

if TYPE_CHECKING:
    from supernet.vit import Vit

CALIBRATION_IMAGES = 256
BATCH_SIZE = 256


def final(
    strategy: Strategy,
    problem: Problem,
    candidates: Sequence[Candidate],
    count: int,
    measure: Callable[[Candidate], float],
) -> tuple[Candidate, dict[str, float]]:
    """Choose what a search ends with.

    Args:
        strategy: says which of several candidates is the best.
        problem: what was searched.
        candidates: the candidates, at least one; only those that keep the limits may win.
        count: number of best ones that are measured again; 0 takes the best as it is.
        measure: returns the int8 accuracy of a candidate in percent.

    Returns:
        The winner, and the int8 accuracies by key.

    Raises:
        BudgetError: pruning has left no candidate that keeps the limits.
    """
    rest = [candidate for candidate in candidates if candidate.fits]
    if not rest:
        smallest = min(candidates, key=lambda candidate: candidate.flash_bytes)
        raise BudgetError(
            f"none of {len(candidates)} pruned networks fits; prune more, or widen the budget",
            where="budget",
            got=f"{smallest.sram_bytes} bytes of SRAM, {smallest.flash_bytes} of flash at best",
        )
    best = strategy.best(problem, rest)
    finalists: list[Candidate] = []
    while rest and len(finalists) < count:
        finalists.append(strategy.best(problem, rest))
        rest.remove(finalists[-1])
    if not finalists:
        return best, {}
    int8 = {candidate.key: measure(candidate) for candidate in finalists}
    measured = [replace(c, accuracy_percent=int8[c.key]) for c in finalists]
    winner = strategy.best(problem, measured).key
    return next(c for c in finalists if c.key == winner), int8


def integer_network(vit: Vit, dataset: Dataset, forms: Forms) -> IntegerModel:
    """Return the integers of a network.

    Args:
        vit: the float network.
        dataset: its training split calibrates, so that no image that measures sets a scale.
        forms: forms of the integer operators.

    Raises:
        LoweringError: naming the layer that the integer arithmetic cannot represent.
    """
    from supernet.checkpoint import model_arrays

    weights = model_arrays(vit)
    model = float_model(vit.subnet, weights, dataset.preprocessing, "the candidate", forms)
    return quantize(model, dataset.train.images[:CALIBRATION_IMAGES])


def int8_accuracy_percent(integer: IntegerModel, split: Split) -> float:
    """Return the accuracy of an integer network on a split, in percent."""
    correct = 0
    for start in range(0, len(split), BATCH_SIZE):
        part = slice(start, start + BATCH_SIZE)
        predicted = run_integer(integer, split.images[part]).argmax(axis=1)
        correct += int(np.sum(predicted == split.labels[part]))
    return 100.0 * correct / len(split)
