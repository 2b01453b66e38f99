"""Accuracy with the weights that a subnet inherits from the supernet (AutoFormer, section 3.3)."""

from __future__ import annotations

from functools import partial
from typing import Literal

from evolve.evaluation.evaluator import Evaluator, Measure, Workbench
from evolve.subnet_search.task import Task


class InheritedConfig(Evaluator):
    """Inherited weights, on the whole steering split."""

    name: Literal["inherited"] = "inherited"

    def measure(self, bench: Workbench) -> Measure:
        """Return a function that evaluates subnets of the supernet."""

        def inherited(task: Task) -> float:
            forward = partial(bench.supernet, subnet=task.proposal.subnet)
            return bench.steering.accuracy_percent(forward)

        return inherited
