"""Candidates of a search: what is proposed, and what its evaluation found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field

from mcuformer.run.artifact import canonical_json, digest
from mcuformer.subnet import SubnetConfig
from mcuformer.value import Value

Share = Annotated[float, Field(gt=0.0, lt=1.0)]
Metric = Literal["accuracy_percent", "sram_bytes", "flash_bytes", "macs", "milliseconds"]


class Training(Value):
    """Genes of a candidate's training, for evaluators that train.

    Args:
        lr_factor: factor on the recipe's learning rate.
        weight_decay_factor: factor on its weight decay.
        pruning_share: share that pruning by feedback takes away; null is the evaluator's.
    """

    lr_factor: Annotated[float, Field(gt=0.0, le=100.0)] = 1.0
    weight_decay_factor: Annotated[float, Field(ge=0.0, le=100.0)] = 1.0
    pruning_share: Share | None = None


DEFAULT_TRAINING = Training()


@dataclass(frozen=True)
class Proposal:
    """A subnet to evaluate.

    Args:
        subnet: the subnet.
        training: genes of its training.
        parent: key of the candidate whose weights it may inherit; None for no parent. It does not
            belong to the proposal's own key.
    """

    subnet: SubnetConfig
    training: Training = DEFAULT_TRAINING
    parent: str | None = None

    @cached_property
    def key(self) -> str:
        """A short digest, equal for proposals that are evaluated once."""
        if self.training == DEFAULT_TRAINING:
            return self.subnet.key
        return digest(canonical_json([self.subnet.key, self.training.dump()]).encode())[:16]


@dataclass(frozen=True)
class Pruned:
    """What pruning left of a proposal's network.

    Args:
        subnet: shape of the pruned network, which is not on the grid of the space.
        nonzero_params: number of its parameters that are not zero.
    """

    subnet: SubnetConfig
    nonzero_params: int


@dataclass(frozen=True)
class Candidate:
    """An evaluated proposal. With pruning, all metrics are the pruned network's.

    Args:
        proposal: what was evaluated.
        accuracy_percent: accuracy by the search's evaluator.
        sram_bytes: SRAM of its firmware.
        flash_bytes: flash of its firmware.
        ms_high: upper end of its modelled time in milliseconds; None if that is not modelled.
        images: number of steering images that its accuracy was measured on; None is all of them.
        pruned: what pruning left of it; None if the evaluator does not prune.
        fits: whether it keeps the hard limits, which is not known before it is pruned.
    """

    proposal: Proposal
    accuracy_percent: float
    sram_bytes: int
    flash_bytes: int
    ms_high: float | None = None
    images: int | None = None
    pruned: Pruned | None = None
    fits: bool = True

    @property
    def subnet(self) -> SubnetConfig:
        """The proposed subnet, with the genes that strategies vary."""
        return self.proposal.subnet

    @property
    def deployed(self) -> SubnetConfig:
        """The network that is deployed: the pruned one, if the evaluator prunes."""
        return self.proposal.subnet if self.pruned is None else self.pruned.subnet

    @property
    def key(self) -> str:
        """The proposal's key."""
        return self.proposal.key

    @property
    def rank(self) -> tuple[bool, float, int, int, str]:
        """Sort key, smaller is better: limits, accuracy, SRAM, flash; the key makes it unique."""
        sizes = self.sram_bytes, self.flash_bytes
        return not self.fits, -self.accuracy_percent, *sizes, self.key

    def value(self, metric: Metric) -> float:
        """Return a metric; a time that is not modelled counts as endless."""
        match metric:
            case "accuracy_percent":
                return self.accuracy_percent
            case "sram_bytes":
                return float(self.sram_bytes)
            case "flash_bytes":
                return float(self.flash_bytes)
            case "macs":
                return float(self.deployed.macs)
            case "milliseconds":
                return float("inf") if self.ms_high is None else self.ms_high

    def loss(self, metric: Metric) -> float:
        """Return a metric as something to make small: the error instead of the accuracy."""
        value = self.value(metric)
        return 100.0 - value if metric == "accuracy_percent" else value
