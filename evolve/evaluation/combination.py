"""Refuse a strategy, an evaluator and objectives that do not go together."""

from __future__ import annotations

from collections.abc import Sequence

from evolve.evaluation.evaluator import Evaluator
from evolve.evaluation.inherited import InheritedConfig
from evolve.evaluation.trained import TrainedEvaluator
from evolve.subnet_search.candidate import Metric
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.strategy import Strategy
from mcuformer.cost import NOT_MODELLED
from mcuformer.device import Device
from mcuformer.errors import ConfigError


def check_combination(
    strategy: Strategy, evaluator: Evaluator, objectives: Sequence[Metric]
) -> None:
    """Refuse what an evaluator cannot do.

    Raises:
        ConfigError: racing with other objectives than accuracy, or trainings that differ where
            nothing is trained.
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


def check_metrics(strategy: Strategy, problem: Problem, device: Device) -> None:
    """Refuse to optimise a time that is not modelled.

    Raises:
        ConfigError: a metric is not modelled.
        BudgetError: a metric has no bound, and the strategy needs one.
    """
    metrics = strategy.metrics(problem)
    if "milliseconds" in metrics and device.waits_per_weight_byte is None:
        raise ConfigError(f"milliseconds are {NOT_MODELLED}", where="objectives", got=metrics)
