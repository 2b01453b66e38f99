"""How a network is pruned while it trains: the methods' settings, without torch."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from mcuformer.errors import ConfigError
from mcuformer.limits import Steps
from mcuformer.subnet import SubnetConfig
from mcuformer.value import Value
from supernet.pruning.groups import (
    KINDS,
    Kind,
    choose,
    even_importance,
    group_sets,
    kept_subnet,
    largest_share,
)

Kinds = Annotated[tuple[Kind, ...], Field(min_length=1)]
Channel = Literal["head", "hidden", "rank"]
Progress = Annotated[float, Field(ge=0.0, le=1.0)]
LogAlpha = Annotated[float, Field(ge=-20.0, le=20.0)]


class FeedbackPruning(Value):
    """Dynamic pruning with feedback (Lin et al., 2020), as muNAS uses it (Liberis et al., 2021).

    The least important groups are left out of the network, but their weights train on, by the
    gradient of the network without them. A group comes back once it is important again.

    Args:
        share: share of the network's parameters that the pruned network lacks.
        groups: kinds of groups that are pruned; null is every kind that the network has.
        schedule: how the share rises: ``linear``, or ``cubic``, fast at first (Zhu and Gupta,
            2017, equation 1).
        begin: progress of the training, from 0 to 1, until which nothing is pruned.
        end: progress of the training from which on the whole share is pruned.
        refresh_steps: steps after which the groups are chosen anew.
    """

    name: Literal["feedback"]
    share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    groups: Kinds | None = None
    schedule: Literal["cubic", "linear"] = "cubic"
    begin: Progress = 0.1
    end: Progress = 0.7
    refresh_steps: Steps = 16

    @model_validator(mode="after")
    def _check(self) -> FeedbackPruning:
        if self.begin > self.end:
            raise ValueError(f"begin {self.begin:g} exceeds end {self.end:g}")
        return self

    def check(self, subnet: SubnetConfig, where: str = "pruning") -> None:
        """Refuse a network, without full-rank factors, whose groups cannot give the share.

        Raises:
            ConfigError: they cannot, or there are no groups of a kind.
        """
        limit = largest_share(subnet, self.kinds(subnet, where))
        if self.share > limit:
            raise ConfigError(
                "this would leave a layer without heads, hidden units or rank components, or the "
                "network without blocks",
                where=f"{where}.share",
                got=self.share,
                expected=f"at most {int(limit * 1000) / 1000:g}",
            )

    def expected(self, subnet: SubnetConfig, share: float | None) -> SubnetConfig | None:
        """Return what is left of a network if every set loses the same part of its groups.

        Args:
            subnet: network without full-rank factors.
            share: share of its parameters that is taken away; None is that of the settings.

        Returns:
            What is left, or None if its groups cannot give the share.

        Raises:
            ConfigError: `subnet` has no group of a kind.
        """
        share, kinds = self.share if share is None else share, self.kinds(subnet)
        if share > largest_share(subnet, kinds):
            return None
        return kept_subnet(subnet, choose(subnet, even_importance(subnet), kinds, share))

    def kinds(self, subnet: SubnetConfig, where: str = "pruning") -> tuple[Kind, ...]:
        """Return the kinds of groups to prune.

        Raises:
            ConfigError: `subnet` has no group of a kind.
        """
        return chosen_kinds(subnet, self.groups, KINDS, where)

    def share_at(self, progress: float) -> float:
        """Return the share to prune at a progress of the training from 0 to 1."""
        if progress < self.begin:
            return 0.0
        if progress >= self.end:
            return self.share
        rest = (self.end - progress) / (self.end - self.begin)
        return self.share * (1.0 - (rest**3 if self.schedule == "cubic" else rest))


class BayesianCompression(Value):
    """Bayesian compression (Louizos et al., 2017), with group normal-Jeffreys priors.

    Every group has a random scale z, whose noise alpha = var(z) / mean(z)^2 is learned. Groups that
    do not need to be exact become noise, and are left out in the end. How many, the data decide.

    Args:
        groups: kinds of groups that are pruned; null is every kind that the network has.
        log_alpha: groups whose log(alpha) exceeds this are left out.
        warmup: progress of the training, from 0 to 1, until which the prior gains its full weight.
    """

    name: Literal["bayesian"]
    groups: Annotated[tuple[Channel, ...], Field(min_length=1)] | None = None
    log_alpha: LogAlpha = 0.0
    warmup: Progress = 0.5

    def check(self, subnet: SubnetConfig, where: str = "pruning") -> None:
        """Refuse a network, without full-rank factors, that lacks groups of a kind.

        Raises:
            ConfigError: naming the kind.
        """
        self.kinds(subnet, where)

    def expected(self, subnet: SubnetConfig, share: float | None) -> SubnetConfig | None:
        """Return the whole network: how much of it stays, the data decide."""
        return subnet

    def kinds(self, subnet: SubnetConfig, where: str = "pruning") -> tuple[Kind, ...]:
        """Return the kinds of groups to prune.

        Raises:
            ConfigError: `subnet` has no group of a kind.
        """
        return chosen_kinds(subnet, self.groups, get_args(Channel), where)


class SparseDropout(Value):
    """Sparse variational dropout (Molchanov et al., 2017).

    Every weight w has a learned noise alpha = var / w^2; weights that are all noise become zero.
    The matrices keep their size, so neither memory nor time of the firmware shrinks: the count of
    other weights is a measure, for instance for a comparison with SpArSe.

    Args:
        log_alpha: weights whose log(alpha) exceeds this become zero.
        warmup: progress of the training, from 0 to 1, until which the prior gains its full weight.
    """

    name: Literal["sparse"]
    log_alpha: LogAlpha = 3.0
    warmup: Progress = 0.5

    def check(self, subnet: SubnetConfig, where: str = "pruning") -> None:
        """Accept any network: every network has weights."""

    def expected(self, subnet: SubnetConfig, share: float | None) -> SubnetConfig | None:
        """Return the whole network, whose matrices keep their size."""
        return subnet


PruningConfig = Annotated[
    FeedbackPruning | BayesianCompression | SparseDropout, Field(discriminator="name")
]


def with_share(settings: PruningConfig, share: float | None) -> PruningConfig:
    """Return settings with another share, which only pruning by feedback takes; None keeps it."""
    return settings if share is None else settings.model_copy(update={"share": share})


def chosen_kinds(
    subnet: SubnetConfig, kinds: tuple[Kind, ...] | None, offered: tuple[Kind, ...], where: str
) -> tuple[Kind, ...]:
    """Return the kinds of groups to prune: those given, or all that `subnet` has of those offered.

    Raises:
        ConfigError: `subnet` has no group of a kind.
    """
    present = {group_set.kind for group_set in group_sets(subnet)}
    possible = tuple(kind for kind in offered if kind in present)
    for kind in kinds or ():
        if kind not in possible:
            raise ConfigError(
                "the network has no such groups: all of its layers are dense",
                where=f"{where}.groups",
                got=kind,
                expected=f"some of {', '.join(possible)}",
            )
    return tuple(kind for kind in possible if kind in (kinds or possible))
