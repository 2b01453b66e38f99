"""Inherited accuracy: the supernet's own, on the whole steering split or in a race."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from evolve.evaluation.evaluator import Accuracy, Workbench
from evolve.evaluation.inherited import InheritedConfig
from evolve.subnet_search.candidate import Candidate, Proposal
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.task import Task
from mcuformer.data.dataset import Dataset
from supernet import evaluate
from supernet.evaluate import accuracy_percent


def test_inherited_accuracy_is_the_supernets(
    bench: Callable[..., Workbench], problem: Problem
) -> None:
    work, subnet = bench(), problem.sample(np.random.default_rng(0))
    config, task = InheritedConfig(), Task(0, Proposal(subnet), ())
    found = config.measure(work)(task)
    split, preprocessing = work.dataset.steering, work.dataset.preprocessing
    forward = partial(work.supernet, subnet=subnet)
    assert found == Accuracy(accuracy_percent(forward, split, preprocessing))
    network = config.network(work, task)
    assert accuracy_percent(network, split, preprocessing) == pytest.approx(found.percent, abs=0.4)


@pytest.mark.parametrize("limit", [2**30, 0], ids=["prepared", "anew"])
def test_accuracy_on_a_part_of_the_split(
    limit: int, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that sees brightness only: the images are those asked for, each once."""
    monkeypatch.setattr(evaluate, "MAX_PREPARED_BYTES", limit)
    monkeypatch.setattr(evaluate, "BATCH_SIZE", 32)
    split = digits.steering

    def by_brightness(images: Tensor) -> Tensor:
        return torch.nn.functional.one_hot((images.sum(dim=(1, 2, 3)) > -19).long(), 10)

    predicted = digits.preprocessing.normalize(split.images).sum(axis=(1, 2, 3)) > -19
    right = predicted == split.labels
    assert 0 < right[5:77].sum() < 72
    found = evaluate.PreparedSplit(split, digits.preprocessing)
    assert found.accuracy_percent(by_brightness, 5, 77) == pytest.approx(100 * right[5:77].mean())
    assert found.accuracy_percent(by_brightness, 77) == pytest.approx(100 * right[77:].mean())


def test_racing_drops_what_the_history_beats(
    bench: Callable[..., Workbench], problem: Problem
) -> None:
    work, proposal = bench(), Proposal(problem.sample(np.random.default_rng(0)))
    best = Candidate(proposal, 99.0, 1, 1)  # an untrained network is far from it
    measure = InheritedConfig(racing=True).measure(work)
    assert measure(Task(1, proposal, (best,))).images == len(work.dataset.steering) // 8
    assert measure(Task(1, proposal, ())).images is None


def test_a_racing_accuracy_belongs_to_its_search(bench: Callable[..., Workbench]) -> None:
    work = bench()
    other = replace(work.search, seed=4)
    for racing in (False, True):
        config = InheritedConfig(racing=racing)
        identities = [config.identity(s, work.dataset) for s in (work.search, other)]
        assert (identities[0] == identities[1]) is not racing
