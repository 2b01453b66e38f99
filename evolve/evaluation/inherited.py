"""Accuracy with the weights that a subnet inherits from the supernet (AutoFormer, section 3.3)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from evolve.evaluation.evaluator import Accuracy, Evaluator, Measure, Workbench
from evolve.evaluation.race import Race
from evolve.subnet_search.task import Search, Task
from mcuformer.data.dataset import Dataset

if TYPE_CHECKING:
    from supernet.vit import Vit


class InheritedConfig(Evaluator):
    """Inherited weights, on the steering split.

    Args:
        racing: measure on growing parts of the split and stop where a candidate cannot become one
            of the best, whose number the strategy states. Takes accuracy as the only objective.
        confidence: least probability, for each candidate, that racing does not drop it wrongly.
    """

    name: Literal["inherited"] = "inherited"
    racing: bool = False
    confidence: Annotated[float, Field(ge=0.5, lt=1.0)] = 0.99

    def identity(self, search: Search, dataset: Dataset) -> dict[str, Any]:
        """With racing, an accuracy depends on the candidates before, and so on the search."""
        return {**self.content(), "search": search.key if self.racing else None}

    def measure(self, bench: Workbench) -> Measure:
        """Return a function that evaluates subnets of the supernet."""

        def inherited(task: Task) -> Accuracy:
            forward = partial(bench.supernet, subnet=task.proposal.subnet)
            if not self.racing:
                return Accuracy(bench.steering.accuracy_percent(forward))
            race = Race(len(bench.steering), bench.search.strategy.elite, self.confidence)
            return race.run(task.history, partial(bench.steering.accuracy_percent, forward))

        return inherited

    def network(self, bench: Workbench, task: Task) -> Vit:
        from supernet.extract import extract

        return extract(bench.supernet, task.proposal.subnet).eval()
