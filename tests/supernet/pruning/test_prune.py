"""Networks are pruned while they train: interrupted or not, the same; as small as asked."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from mcuformer.data.dataset import DataConfig, Dataset, load
from mcuformer.subnet import SubnetConfig
from supernet.data import pad_value
from supernet.pruning import feedback
from supernet.pruning.groups import Masks
from supernet.pruning.layers import MaskedLinear, layers_of
from supernet.pruning.prune import count_nonzero, prune
from supernet.pruning.settings import (
    BayesianCompression,
    FeedbackPruning,
    PruningConfig,
    SparseDropout,
)
from supernet.recipe import Recipe
from supernet.task import Task, network_task, seed_everything
from supernet.vit import Vit

RECIPE = Recipe(
    epochs=5,
    batch_size=32,
    lr=1e-2,
    warmup_epochs=1,
    mixup=0.4,
    drop_path_rate=0.1,
    ema_decay=0.5,
    fake_quant_epochs=1,
    checkpoint_steps=3,
)
FEEDBACK = FeedbackPruning(name="feedback", refresh_steps=4)
METHODS: dict[str, PruningConfig] = {
    "feedback": FEEDBACK,
    "bayesian": BayesianCompression(name="bayesian", log_alpha=-8.0),
    "sparse": SparseDropout(name="sparse", log_alpha=-8.0),
}


@pytest.fixture(scope="module")
def data(digits_config: DataConfig) -> Dataset:
    whole = load(digits_config)
    few = whole.train.take(np.arange(96))
    return replace(whole, train=few, steering=whole.steering.take(np.arange(32)))


def build(
    subnet: SubnetConfig, data: Dataset, path: Path, recipe: Recipe = RECIPE, seed: int = 3
) -> Task[Vit]:
    torch.set_num_threads(1)
    seed_everything(seed, "init")
    vit = Vit(subnet, pad_value(data.preprocessing), recipe.drop_path_rate)
    return network_task(vit, data, recipe, seed, path, {"subnet": subnet.dump()})


def interrupt(task: Task[Vit], monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Interrupt the training once `at` batches have been prepared."""
    prepare, calls = task.batches.reader.prepare, iter(range(10**6))

    def prepared(*arguments: object) -> torch.Tensor:
        if next(calls) == at:
            raise KeyboardInterrupt
        return prepare(*arguments)

    monkeypatch.setattr(task.batches.reader, "prepare", prepared)


@pytest.mark.parametrize("name", METHODS)
def test_resume_is_exact(
    small_subnet: SubnetConfig,
    data: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """Interrupted between two refreshes of the masks; an epoch has four steps."""
    whole = prune(build(small_subnet, data, tmp_path / "whole"), METHODS[name])
    parts = build(small_subnet, data, tmp_path / "parts")
    interrupt(parts, monkeypatch, 14)
    with pytest.raises(KeyboardInterrupt):
        prune(parts, METHODS[name])
    rest = prune(build(small_subnet, data, tmp_path / "parts"), METHODS[name])
    assert (whole.epochs, rest.epochs) == (5, 2)  # from step 12
    assert rest.model.subnet == whole.model.subnet
    expected = whole.model.state_dict()
    assert all(torch.equal(t, expected[n]) for n, t in rest.model.state_dict().items())
    assert count_nonzero(whole.model) < small_subnet.num_params


def test_the_network_is_as_small_as_asked(
    small_subnet: SubnetConfig, data: Dataset, tmp_path: Path
) -> None:
    for share in (0.3, 0.75):
        settings = FeedbackPruning(name="feedback", share=share, end=1.0, refresh_steps=7)
        task = build(small_subnet, data, tmp_path)
        subnet = prune(task, settings).model.subnet
        assert 0.9 * (1 - share) < subnet.num_params / small_subnet.num_params <= 1 - share
        assert not list(layers_of(task.model, MaskedLinear))  # the caller's network is its own


def test_pruned_groups_train_on_and_come_back(
    small_subnet: SubnetConfig, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    set_masks = feedback.set_masks

    def recorded(vit: Vit, masks: Masks) -> None:
        set_masks(vit, masks)
        seen.append(torch.cat([layer.kept for _, layer in layers_of(vit, MaskedLinear)]))

    monkeypatch.setattr(feedback, "set_masks", recorded)
    settings = FeedbackPruning(name="feedback", share=0.4, begin=0.0, end=0.0, refresh_steps=1)
    prune(build(small_subnet, data, tmp_path), settings)
    assert len(seen) == 20
    assert any(bool((~before & after).any()) for before, after in pairwise(seen))


def test_other_settings_have_other_checkpoints(
    small_subnet: SubnetConfig, data: Dataset, tmp_path: Path
) -> None:
    task = build(small_subnet, data, tmp_path)
    prune(task, FEEDBACK)
    other = prune(task, FEEDBACK.model_copy(update={"share": 0.2}))
    assert other.epochs == 5
    assert prune(task, FEEDBACK).epochs == 0
