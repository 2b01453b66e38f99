"""Evaluators that train: reproducible, on training images only, from the right weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from evolve.evaluation.evaluator import Workbench
from evolve.evaluation.inherited import InheritedConfig
from evolve.evaluation.trained import FinetunedConfig, ScratchConfig
from evolve.subnet_search.candidate import Candidate, Proposal, Training
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.random_subnets import RandomConfig
from evolve.subnet_search.task import Task
from mcuformer.data.images import Split
from supernet.pruning.settings import FeedbackPruning, SparseDropout
from supernet.recipe import Recipe
from supernet.trainer import train

assert train  # the tier of tests that train

RECIPE = Recipe(epochs=1, batch_size=80, lr=3e-3, warmup_epochs=0)
STILL = RECIPE.model_copy(update={"lr": 1e-12, "min_lr": 0.0, "weight_decay": 0.0})


class Inheriting(RandomConfig):
    """A strategy whose proposals may name a parent."""

    @property
    def inherits(self) -> bool:
        return True


@pytest.fixture
def tasks(problem: Problem) -> list[Task]:
    rng = np.random.default_rng(0)
    return [Task(n, problem.fresh(rng, ()), ()) for n in range(2)]


@pytest.mark.parametrize("kind", [FinetunedConfig, ScratchConfig])
def test_an_evaluation_depends_on_its_proposal_alone(
    kind: type, bench: Callable[..., Workbench], tasks: list[Task]
) -> None:
    work = bench()
    measure = kind(recipe=RECIPE).measure(work)
    first, second = map(measure, tasks)
    again = kind(recipe=RECIPE).measure(bench())
    assert (again(tasks[1]), again(tasks[0])) == (second, first)
    assert list((work.directory / "training").iterdir()) == []
    assert not (work.directory / "weights").exists()


def test_steering_images_are_not_trained_on(
    bench: Callable[..., Workbench], tasks: list[Task]
) -> None:
    work, config = bench(), ScratchConfig(recipe=RECIPE)
    steering = work.dataset.steering
    shuffled = Split(steering.images, np.roll(steering.labels, 1))
    other = replace(work, dataset=replace(work.dataset, steering=shuffled))
    trained, same = (config.network(w, tasks[0]).state_dict() for w in (work, other))
    assert all(torch.equal(trained[name], same[name]) for name in trained)


def test_fine_tuning_starts_from_inherited_weights(
    bench: Callable[..., Workbench], tasks: list[Task]
) -> None:
    work, images = bench(), torch.randn(4, 1, 8, 8)
    expected = InheritedConfig().network(work, tasks[0])(images)
    found = FinetunedConfig(recipe=STILL).network(work, tasks[0])(images)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    fresh = ScratchConfig(recipe=STILL).network(work, tasks[0])(images)
    assert (fresh - expected).abs().max() > 0.1


def test_genes_of_the_training_are_factors() -> None:
    config = ScratchConfig(recipe=RECIPE)
    tuned = config.tuned(Training(lr_factor=2.0, weight_decay_factor=0.5))
    assert (tuned.lr, tuned.weight_decay) == (6e-3, 0.025)
    assert config.tuned(Training()) == RECIPE


def test_a_child_starts_from_its_parents_trained_weights(
    bench: Callable[..., Workbench], tasks: list[Task]
) -> None:
    work = bench()
    work = replace(work, search=replace(work.search, strategy=Inheriting()))
    parent = tasks[0].proposal
    trained = ScratchConfig(recipe=RECIPE).network(work, tasks[0])
    history = (Candidate(parent, 50.0, 1, 1),)
    blocks = parent.subnet.blocks
    deeper = parent.subnet.model_copy(update={"blocks": (blocks[0], *blocks)})
    child = Task(1, Proposal(deeper, parent=parent.key), history)
    images = torch.randn(4, 1, 8, 8)
    found = ScratchConfig(recipe=STILL).network(work, child)(images)
    torch.testing.assert_close(found, trained(images), rtol=0, atol=1e-5)
    kept = ScratchConfig(recipe=RECIPE).network(work, child)(images)  # loaded, not trained again
    assert torch.equal(kept, found)


@pytest.mark.parametrize("kind", [FinetunedConfig, ScratchConfig])
def test_a_pruned_network_is_measured_and_kept(
    kind: type, bench: Callable[..., Workbench], tasks: list[Task]
) -> None:
    work, task = bench(), tasks[0]
    config = kind(recipe=RECIPE, pruning=FeedbackPruning(name="feedback", share=0.4))
    share = Task(0, replace(task.proposal, training=Training(pruning_share=0.6)), ())
    found = config.measure(work)(task)
    whole, left = task.proposal.subnet.num_params, found.pruned.subnet.num_params
    assert 0.3 * whole < left <= 0.6 * whole
    assert config.measure(work)(share).pruned.subnet.num_params <= 0.4 * whole
    network = config.network(work, task)
    assert network.subnet == found.pruned.subnet
    assert work.steering.accuracy_percent(network) == found.percent
    kept = work.directory / "weights" / f"{task.proposal.key}.safetensors"
    trained = kept.read_bytes()
    for path in kept.parent.iterdir():
        path.unlink()
    assert config.measure(work)(task) == found  # trained again, the same
    assert kept.read_bytes() == trained


def test_a_sparse_network_keeps_its_size(
    bench: Callable[..., Workbench], tasks: list[Task]
) -> None:
    pruning = SparseDropout(name="sparse", log_alpha=-8.0)
    found = ScratchConfig(recipe=RECIPE, pruning=pruning).measure(bench())(tasks[0])
    subnet = tasks[0].proposal.subnet
    assert found.pruned.subnet.num_params == subnet.num_params
    assert found.pruned.nonzero_params < 0.9 * subnet.num_params


def test_a_child_of_a_pruned_parent_is_pruned_again(
    bench: Callable[..., Workbench], tasks: list[Task]
) -> None:
    """It starts with what is left of its parent; without a rate it ends with that too."""
    work = bench()
    work = replace(work, search=replace(work.search, strategy=Inheriting()))
    pruning, parent = FeedbackPruning(name="feedback", share=0.4, groups=("hidden",)), tasks[0]
    config = ScratchConfig(recipe=RECIPE, pruning=pruning)
    left = config.network(work, parent)
    tuned = replace(parent.proposal, training=Training(lr_factor=0.5), parent=parent.proposal.key)
    still = ScratchConfig(recipe=STILL, pruning=pruning)
    child = still.network(work, Task(1, tuned, ()))
    images = torch.randn(4, 1, 8, 8)
    assert child.subnet == left.subnet
    torch.testing.assert_close(child(images), left(images), rtol=0, atol=1e-4)


def test_a_parent_whose_weights_are_missing_is_named(
    bench: Callable[..., Workbench], tasks: list[Task], capsys: pytest.CaptureFixture[str]
) -> None:
    orphan = Task(1, Proposal(tasks[0].proposal.subnet, parent="elsewhere"), ())
    ScratchConfig(recipe=STILL).network(bench(), orphan)
    assert "the weights of its parent elsewhere are not kept" in capsys.readouterr().err
