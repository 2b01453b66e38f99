"""Accuracy predicted from a subnet's sizes and, if asked for, its inherited accuracy.

Source: once-for-all (Cai et al., 2020), section 3.4, predicts accuracy from genes; the active loop
is that of weak predictors (Wu et al., 2021): later samples are those that promise most. What is
fitted to many subnets averages the noise of each one's evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from evolve.evaluation.evaluator import Accuracy, Effort, Evaluator, Measure, Workbench
from evolve.evaluation.inherited import InheritedConfig
from evolve.evaluation.records import recorded
from evolve.evaluation.trained import FinetunedConfig, ScratchConfig
from evolve.subnet_search.candidate import Proposal
from evolve.subnet_search.task import Search, Task
from mcuformer.data.dataset import Dataset
from mcuformer.limits import Candidates
from mcuformer.run.folder import locked
from mcuformer.run.progress import track
from mcuformer.seed import stream
from mcuformer.subnet import SubnetConfig

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from supernet.recipe import Recipe
    from supernet.vit import Vit

PENALTIES = tuple(np.logspace(-3, 3, 13))


@dataclass(frozen=True)
class Sample:
    """A subnet that the base evaluator has evaluated.

    Args:
        features: what predictions depend on.
        percent: its accuracy by the base evaluator.
    """

    features: list[float]
    percent: float


class PredictorConfig(Evaluator):
    """A ridge regression, fitted before the search to subnets that `base` evaluates.

    Args:
        base: evaluator whose accuracies are predicted.
        samples: number of random admissible subnets that it is fitted to first.
        rounds: how many times it then chooses further samples itself and is fitted anew.
        chosen: number of samples that it chooses per round, the best by its prediction.
        pool: number of random admissible subnets that it chooses them from.
        inherited: whether inherited accuracy is a feature too; each prediction then measures it.
    """

    name: Literal["predictor"] = "predictor"
    base: Annotated[
        InheritedConfig | FinetunedConfig | ScratchConfig, Field(discriminator="name")
    ] = InheritedConfig()
    samples: Annotated[Candidates, Field(ge=10)] = 40
    rounds: Annotated[int, Field(ge=0, le=100)] = 2
    chosen: Candidates = 10
    pool: Candidates = 100
    inherited: bool = False

    @model_validator(mode="after")
    def _check(self) -> PredictorConfig:
        if isinstance(self.base, InheritedConfig):
            if self.inherited:
                raise ValueError("inherited accuracy is what base=inherited predicts, no feature")
            if self.base.racing:
                raise ValueError("samples are measured on all images, so base.racing must be off")
        return self

    def identity(self, search: Search, dataset: Dataset) -> dict[str, Any]:
        """The samples depend on the problem and the seed too."""
        base = self.base.identity(search, dataset)
        return {**self.content(), "base": base, "problem": search.problem.identity()}

    def recipes(self, where: str) -> dict[str, Recipe]:
        return self.base.recipes(f"{where}.base")

    def effort(self, evaluations: int, train: int, steering: int) -> Effort:
        base = self.base.effort(self.samples + self.rounds * self.chosen, train, steering)
        predictions = evaluations + self.samples + self.rounds * (self.chosen + self.pool)
        return Effort(base.steps, base.images + predictions * steering * self.inherited)

    def measure(self, bench: Workbench) -> Measure:
        """Fit the predictor; return a function that predicts."""
        model = fitted(self.table(bench))

        def predicted(task: Task) -> Accuracy:
            [percent] = model.predict([self.features(bench, task.proposal.subnet)])
            return Accuracy(float(np.clip(percent, 0.0, 100.0)))

        return predicted

    def features(self, bench: Workbench, subnet: SubnetConfig) -> list[float]:
        """Return what the prediction of a subnet's accuracy depends on."""
        if not self.inherited:
            return size_features(subnet)
        inherited = InheritedConfig().measure(bench)(Task(0, Proposal(subnet), ()))
        return [*size_features(subnet), inherited.percent]

    def network(self, bench: Workbench, task: Task) -> Vit:
        return self.base.network(bench, task)

    def table(self, bench: Workbench) -> list[Sample]:
        """Return the samples; each is recorded as soon as it is evaluated.

        One worker evaluates them while the others wait for its lock.
        """
        folder, evaluate = bench.directory / "samples", self.base.measure(bench)

        def sample(subnet: SubnetConfig) -> Sample:
            task = Task(0, Proposal(subnet), ())
            path = folder / f"{subnet.key}.json"
            percent = recorded(path, lambda: evaluate(task).percent)
            return Sample(self.features(bench, subnet), percent)

        samples: dict[str, Sample] = {}
        with locked(folder, wait=True):
            for number in range(self.rounds + 1):
                subnets = self._draw(bench, number, samples)
                for subnet in track(subnets, f"samples of the predictor, round {number}"):
                    samples[subnet.key] = sample(subnet)
        return list(samples.values())

    def _draw(self, bench: Workbench, number: int, known: dict[str, Sample]) -> list[SubnetConfig]:
        """Return the subnets of a round; there are fewer once no other is left."""
        search = bench.search
        rng = stream(search.seed, "predictor", number)
        count = self.pool if number else self.samples
        drawn = [p.subnet for p in search.problem.filled((), count, known, rng)]
        if number == 0 or not drawn:
            return drawn
        model = fitted(list(known.values()))
        predictions = model.predict([self.features(bench, subnet) for subnet in drawn])
        best = np.argsort(-predictions, kind="stable")[: self.chosen]
        return [drawn[index] for index in best]


def size_features(subnet: SubnetConfig) -> list[float]:
    """Return the sizes of a subnet; those whose effect is a factor are logarithms."""
    sizes = np.log([subnet.macs, subnet.num_params, subnet.embed_dim, subnet.num_tokens])
    heads = np.mean([block.num_heads for block in subnet.blocks])
    ratios = np.mean([block.mlp_ratio for block in subnet.blocks])
    ranks = np.mean([subnet.mean_ratio(index) for index in range(subnet.depth)])
    return [*map(float, sizes), subnet.depth, float(heads), float(ratios), float(ranks)]


def fitted(samples: Sequence[Sample]) -> Pipeline:
    """Fit a ridge regression of standardised features, its penalty by leave-one-out.

    A single sample, of a space with one admissible subnet, predicts itself.
    """
    from sklearn.dummy import DummyRegressor
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = RidgeCV(PENALTIES) if len(samples) > 1 else DummyRegressor()
    model = make_pipeline(StandardScaler(), regression)
    model.fit([s.features for s in samples], [s.percent for s in samples])
    return model
