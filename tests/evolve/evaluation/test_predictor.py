"""The predictor learns what its base evaluator finds, from subnets that it chooses itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import spearmanr

from evolve.evaluation.evaluator import Accuracy, Measure, Workbench
from evolve.evaluation.inherited import InheritedConfig
from evolve.evaluation.predictor import PredictorConfig, Sample, fitted
from evolve.evaluation.trained import ScratchConfig
from evolve.subnet_search.candidate import Proposal
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.task import Task
from mcuformer.errors import ArtifactError, ConfigError
from mcuformer.subnet import SubnetConfig
from supernet.recipe import Recipe

RECIPE = Recipe(epochs=1, batch_size=80, lr=3e-3, warmup_epochs=0)
CONFIG = PredictorConfig(base=ScratchConfig(recipe=RECIPE), samples=24, rounds=2, chosen=6, pool=30)


def truth(subnet: SubnetConfig) -> float:
    """A made-up accuracy that grows with depth and falls with the width, nonlinearly."""
    return 60.0 + 10.0 * np.sqrt(subnet.depth) - 0.05 * subnet.embed_dim


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[SubnetConfig]:
    """Make up what the base finds; return the subnets that it is asked for."""
    subnets: list[SubnetConfig] = []

    def measure(self: ScratchConfig, bench: Workbench) -> Measure:
        def made_up(task: Task) -> Accuracy:
            subnets.append(task.proposal.subnet)
            return Accuracy(truth(task.proposal.subnet))

        return made_up

    monkeypatch.setattr(ScratchConfig, "measure", measure)
    return subnets


@pytest.mark.parametrize("inherited", [False, True])
def test_it_ranks_subnets_that_it_has_not_seen(
    inherited: bool,
    evaluated: list[SubnetConfig],
    bench: Callable[..., Workbench],
    problem: Problem,
) -> None:
    work, rng = bench(), np.random.default_rng(9)
    config = CONFIG.model_copy(update={"inherited": inherited})
    measure = config.measure(work)
    assert len(evaluated) == len({subnet.key for subnet in evaluated}) == 24 + 2 * 6
    assert all(problem.admits(subnet) for subnet in evaluated)
    chosen, random = map(truth, evaluated[24:]), map(truth, evaluated[:24])
    assert np.mean([*chosen]) > np.mean([*random]) + 1.0
    fresh = [problem.fresh(rng, {s.key for s in evaluated}).subnet for _ in range(40)]
    predicted = [measure(Task(0, Proposal(subnet), ())).percent for subnet in fresh]
    assert spearmanr(predicted, [*map(truth, fresh)]).statistic > 0.95
    again = config.measure(bench())  # every sample is recorded
    assert len(evaluated) == 36
    assert [again(Task(0, Proposal(subnet), ())).percent for subnet in fresh] == predicted


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [1, 2])
def test_a_space_of_one_or_two_subnets_is_predicted(count: int) -> None:
    """What is known of a space that small is all of it."""
    samples = [Sample([float(number), 5.0], 80.0 + number) for number in range(count)]
    for sample in samples:
        [percent] = fitted(samples).predict([sample.features])
        assert percent == pytest.approx(sample.percent, abs=0.5)


def test_inherited_accuracy_is_a_feature_if_asked_for(
    bench: Callable[..., Workbench], problem: Problem
) -> None:
    work, subnet = bench(), problem.sample(np.random.default_rng(0))
    with_it = CONFIG.model_copy(update={"inherited": True}).features(work, subnet)
    found = InheritedConfig().measure(work)(Task(0, Proposal(subnet), ()))
    assert with_it == [*CONFIG.features(work, subnet), found.percent]


def test_a_damaged_sample_is_named(
    evaluated: list[SubnetConfig], bench: Callable[..., Workbench]
) -> None:
    work = bench()
    CONFIG.measure(work)
    path = work.directory / "samples" / f"{evaluated[0].key}.json"
    path.write_text(path.read_text().replace("accuracy_percent", "percent"))
    with pytest.raises(ArtifactError, match=rf"{evaluated[0].key}\.json: damaged"):
        CONFIG.measure(work)


def test_its_accuracies_depend_on_problem_and_seed(bench: Callable[..., Workbench]) -> None:
    work = bench()
    identity = CONFIG.identity(work.search, work.dataset)
    assert identity["problem"] == work.search.problem.identity()
    assert identity["base"]["seed"] == 3


@pytest.mark.parametrize("wrong", ["inherited", "racing"])
def test_a_predictor_of_inherited_accuracy_measures_it_whole(wrong: str) -> None:
    base = {"name": "inherited", "racing": wrong == "racing"}
    with pytest.raises(ConfigError, match=r"inherited accuracy|all images"):
        PredictorConfig.parse({"base": base, "inherited": wrong == "inherited"})
