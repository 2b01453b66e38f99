"""What all evaluators have in common: they measure the accuracy of proposals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolve.subnet_search.task import Task
from mcuformer.data.dataset import Dataset
from mcuformer.data.images import Split
from mcuformer.value import Value

if TYPE_CHECKING:
    import torch

    from supernet.evaluate import PreparedSplit
    from supernet.model import Supernet

Measure = Callable[[Task], float]


@dataclass(frozen=True)
class Workbench:
    """What evaluators work with.

    Args:
        dataset: its steering split measures accuracy, its training split trains.
        load_supernet: loads the trained supernet, on the device that evaluates.
        device: device that evaluates.
        seed: seed of the run.
        directory: folder for what evaluators keep; several workers may share it.
        elite: number of best candidates whose order matters to the strategy.
    """

    dataset: Dataset
    load_supernet: Callable[[], Supernet]
    device: torch.device
    seed: int
    directory: Path
    elite: int = 1

    @cached_property
    def supernet(self) -> Supernet:
        """The trained supernet, loaded at its first use."""
        return self.load_supernet()

    @cached_property
    def steering(self) -> PreparedSplit:
        """The steering split, prepared for evaluations."""
        return self.prepared(self.dataset.steering)

    def prepared(self, split: Split) -> PreparedSplit:
        """Return a split with its images normalised on the device that evaluates."""
        from supernet.evaluate import PreparedSplit

        return PreparedSplit(split, self.dataset.preprocessing, self.device)


class Evaluator(Value):
    """An evaluator with its settings."""

    def identity(self) -> dict[str, Any]:
        """Return what an accuracy depends on apart from supernet, data and seed."""
        return self.content()

    def measure(self, bench: Workbench) -> Measure:
        """Return the function that measures the accuracy of a task's proposal, in percent."""
        raise NotImplementedError
