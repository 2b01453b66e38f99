"""What every method of pruning has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from mcuformer.subnet import SubnetConfig
from supernet.pruning.compact import reading_matrix
from supernet.pruning.groups import GroupSet, group_sets
from supernet.vit import Vit


class Method(ABC):
    """A method of pruning. Its memory is parameters and buffers of the network's layers."""

    @abstractmethod
    def install(self, vit: Vit) -> None:
        """Replace layers of the network by those of the method, in place."""

    @abstractmethod
    def before_step(self, vit: Vit, step: int) -> None:
        """Prepare the network for a step of the training, counted from its start."""

    @abstractmethod
    def penalty(self, vit: Vit, step: int) -> Tensor | None:
        """Return what a step adds to the loss, a scalar, or None."""

    @abstractmethod
    def finish(self, vit: Vit) -> Vit:
        """Return the pruned network, of plain layers; `vit` may be changed."""


def readers(subnet: SubnetConfig) -> dict[str, GroupSet]:
    """Return the sets of heads, hidden units and rank components, by the matrix that reads them."""
    channels = [group_set for group_set in group_sets(subnet) if group_set.kind != "block"]
    return {reading_matrix(subnet, group_set): group_set for group_set in channels}
