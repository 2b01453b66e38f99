"""Refuse a strategy, an evaluator and objectives that do not go together."""

from __future__ import annotations

from collections.abc import Sequence

from evolve.evaluation.evaluator import Evaluator
from evolve.evaluation.inherited import InheritedConfig
from evolve.evaluation.predictor import PredictorConfig
from evolve.evaluation.trained import TrainedEvaluator
from evolve.subnet_search.candidate import Metric
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.strategy import Strategy
from mcuformer.cost import NOT_MODELLED
from mcuformer.device import Device
from mcuformer.errors import ConfigError
from mcuformer.space import SearchSpace, SpacePoint
from supernet.pruning.settings import FeedbackPruning, PruningConfig, with_share


def check_combination(
    strategy: Strategy, evaluator: Evaluator, objectives: Sequence[Metric]
) -> None:
    """Refuse what an evaluator cannot do.

    Raises:
        ConfigError: racing with other objectives than accuracy, trainings that differ where
            nothing is trained, shares to prune where no share is pruned, or a predictor of pruned
            networks.
    """
    races = isinstance(evaluator, InheritedConfig) and evaluator.racing
    if races and tuple(objectives) != ("accuracy_percent",):
        raise ConfigError(
            "racing drops candidates by their accuracy alone",
            where="evaluator.racing",
            got=f"objectives {', '.join(objectives)}",
            expected="accuracy_percent",
        )
    if strategy.tunes and not isinstance(evaluator, TrainedEvaluator):
        raise ConfigError(
            "the strategy's factors are of a training, and nothing is trained",
            where="evaluator",
            got=evaluator.content()["name"],
            expected="finetuned or scratch",
        )
    _check_prunings(strategy, evaluator)


def _check_prunings(strategy: Strategy, evaluator: Evaluator) -> None:
    """Refuse a strategy and an evaluator that do not agree on pruning.

    Raises:
        ConfigError: shares where no share is pruned, or a predictor of pruned networks.
    """
    if strategy.shares is not None and not isinstance(evaluator.prunes, FeedbackPruning):
        raise ConfigError(
            "only pruning by feedback takes a share",
            where="strategy.pruning_share",
            got=list(strategy.shares),
            expected="null, or evaluator.pruning.name=feedback",
        )
    if isinstance(evaluator, PredictorConfig) and evaluator.base.prunes is not None:
        raise ConfigError(
            "a predicted network is not pruned, so nobody knows its size",
            where="evaluator.base.pruning",
            got=evaluator.base.prunes.name,
            expected="null, or another evaluator",
        )


def least_pruning(strategy: Strategy, evaluator: Evaluator) -> PruningConfig | None:
    """Return how an evaluator prunes, with the smallest share if that is a gene; None is not."""
    if evaluator.prunes is None or strategy.shares is None:
        return evaluator.prunes
    return with_share(evaluator.prunes, strategy.shares[0])


def check_pruning(
    pruning: PruningConfig, space: SearchSpace, points: Sequence[SpacePoint], where: str
) -> None:
    """Refuse a pruning that suits no point of the space.

    Raises:
        ConfigError: the largest and the smallest networks of every point are refused.
    """
    faults = []
    for point in points:
        for subnet in (space.largest(point), *space.smallest_of_each_rank(point)):
            try:
                pruning.check(subnet, where)
            except ConfigError as error:
                faults.append(error)
            else:
                return
    raise faults[0]


def check_metrics(strategy: Strategy, problem: Problem, device: Device) -> None:
    """Refuse to optimise a time that is not modelled.

    Raises:
        ConfigError: a metric is not modelled.
        BudgetError: a metric has no bound, and the strategy needs one.
    """
    metrics = strategy.metrics(problem)
    if "milliseconds" in metrics and device.waits_per_weight_byte is None:
        raise ConfigError(f"milliseconds are {NOT_MODELLED}", where="objectives", got=metrics)
