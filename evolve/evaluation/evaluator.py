"""What all evaluators have in common: they measure the accuracy of proposals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolve.subnet_search.candidate import Pruned
from evolve.subnet_search.task import Search, Task
from mcuformer.data.dataset import Dataset
from mcuformer.data.images import Split
from mcuformer.seed import stream
from mcuformer.value import Value
from supernet.pruning.settings import PruningConfig

if TYPE_CHECKING:
    import torch

    from supernet.evaluate import PreparedSplit
    from supernet.model import Supernet
    from supernet.recipe import Recipe
    from supernet.vit import Vit


@dataclass(frozen=True)
class Accuracy:
    """What an evaluator found.

    Args:
        percent: top-1 accuracy on steering images, measured or predicted.
        images: number of steering images that it was measured on; None is all of them.
        pruned: what pruning left of the network, which is the one that was measured; None if it was
            not pruned.
    """

    percent: float
    images: int | None = None
    pruned: Pruned | None = None


@dataclass(frozen=True)
class Effort:
    """What evaluations cost at most.

    Args:
        steps: training steps of single networks.
        images: images that subnets of the supernet classify.
    """

    steps: int
    images: int


Measure = Callable[[Task], Accuracy]


@dataclass(frozen=True)
class Workbench:
    """What evaluators work with.

    Args:
        dataset: its steering split measures accuracy, its training split trains.
        load_supernet: loads the trained supernet, on the device that evaluates.
        device: device that evaluates.
        search: the search that asks: its seed, its problem, and its strategy.
        directory: folder for what evaluators keep. It belongs to one evaluation: whatever an
            accuracy depends on is the same for all that is in it. Several workers may share it.
    """

    dataset: Dataset
    load_supernet: Callable[[], Supernet]
    device: torch.device
    search: Search
    directory: Path

    @cached_property
    def supernet(self) -> Supernet:
        """The trained supernet, loaded at its first use."""
        return self.load_supernet()

    @cached_property
    def steering(self) -> PreparedSplit:
        """The steering split, prepared for evaluations, in random order.

        So every part of it is a random sample, also of a data set that is sorted by class.
        """
        split = self.dataset.steering
        order = stream(0, "steering order").permutation(len(split))
        return self.prepared(split.take(order))

    def prepared(self, split: Split) -> PreparedSplit:
        """Return a split with its images normalised on the device that evaluates."""
        from supernet.evaluate import PreparedSplit

        return PreparedSplit(split, self.dataset.preprocessing, self.device)


class Evaluator(Value):
    """An evaluator with its settings."""

    @property
    def prunes(self) -> PruningConfig | None:
        """How it prunes the networks that it evaluates; None is not at all."""
        return None

    def identity(self, search: Search, dataset: Dataset) -> dict[str, Any]:
        """Return what an accuracy depends on, apart from subnet, supernet and steering split."""
        return self.content()

    def recipes(self, where: str) -> dict[str, Recipe]:
        """Return the recipes that it trains by, by their path; `where` is its own."""
        return {}

    def effort(self, evaluations: int, train: int, steering: int) -> Effort:
        """Return what so many evaluations cost; `train` and `steering` are numbers of images."""
        return Effort(0, evaluations * steering)

    def measure(self, bench: Workbench) -> Measure:
        """Return the function that measures the accuracy of a task's proposal."""
        raise NotImplementedError

    def network(self, bench: Workbench, task: Task) -> Vit:
        """Return the network whose accuracy it measures or predicts, in evaluation mode."""
        raise NotImplementedError
