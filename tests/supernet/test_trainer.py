"""Training: interrupted or not, the weights are the same; foreign checkpoints are refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mcuformer.data.dataset import DataConfig, Dataset, load
from mcuformer.data.images import Split
from mcuformer.errors import ArtifactError, McuformerError
from mcuformer.space import SearchSpace
from supernet import checkpoint, trainer
from supernet.recipe import Recipe
from supernet.sampling import UniformSampling
from supernet.task import SupernetSetting, Task, supernet_task
from supernet.trainer import train

RECIPE = Recipe(epochs=6, batch_size=32, lr=3e-3, warmup_epochs=1, mixup=0.4, checkpoint_steps=2)


@pytest.fixture(scope="module")
def small_data(digits_config: DataConfig) -> Dataset:
    data = load(digits_config)
    few = Split(data.train.images[:96], data.train.labels[:96])
    return replace(data, train=few)


@pytest.fixture
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def build(space: SearchSpace, data: Dataset, path: Path, recipe: Recipe = RECIPE) -> Task:
    setting = SupernetSetting(recipe, UniformSampling(name="uniform"), 7, path)
    return supernet_task(space, space.point_at((1, 2)), data, setting)


def weights(task: Task) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in task.model.state_dict().items()}


@pytest.mark.usefixtures("two_threads")
def test_resume_is_exact(digits_space: SearchSpace, small_data: Dataset, tmp_path: Path) -> None:
    whole = build(digits_space, small_data, tmp_path / "whole")
    assert train(whole, 5, "whole").epochs == 5
    first = build(digits_space, small_data, tmp_path / "parts")
    train(first, 3, "first")
    second = build(digits_space, small_data, tmp_path / "parts")
    assert train(second, 5, "second").epochs == 2
    expected = weights(whole)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(second).items())
    names = sorted(path.name for path in second.directory.iterdir())
    assert names == [
        "epoch_0003",
        "epoch_0005",
        "metrics.jsonl",
    ]  # where a training was asked to stop
    earlier = build(digits_space, small_data, tmp_path / "parts")
    assert train(earlier, 3, "again").epochs == 0  # a later recovery point does not count
    after_three = weights(first)
    assert all(torch.equal(tensor, after_three[name]) for name, tensor in weights(earlier).items())


def test_an_interrupted_epoch_starts_from_the_last_checkpoint(
    digits_space: SearchSpace, small_data: Dataset, tmp_path: Path
) -> None:
    task = build(digits_space, small_data, tmp_path)
    epoch = task.batches.epoch

    def interrupted(number: int, *place):
        if number == 3:
            raise KeyboardInterrupt
        return epoch(number, *place)

    task.batches.epoch = interrupted
    with pytest.raises(KeyboardInterrupt):
        train(task, 4, "interrupted")
    assert [path.name for path in task.directory.glob("[ep]*")] == ["partial_00000008"]
    again = build(digits_space, small_data, tmp_path)
    assert train(again, 4, "again").epochs == pytest.approx(4 / 3)
    whole = build(digits_space, small_data, tmp_path / "whole")
    train(whole, 4, "whole")
    expected = weights(whole)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(again).items())


def test_timed_checkpoints_change_nothing(
    digits_space: SearchSpace, small_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill, a resume from a timed checkpoint and a rollback end as the rollback alone does."""
    recipe = RECIPE.model_copy(update={"checkpoint_steps": 4})

    def start(name: str, first: int, *, killed_at: int | None = None) -> Task:
        """Return a task whose loss is not finite at the sixth step, counted from `first`."""
        task = build(digits_space, small_data, tmp_path / name, recipe)
        prepare, steps = task.batches.reader.prepare, iter(range(first, 99))

        def prepared(*arguments: object) -> torch.Tensor:
            step = next(steps)
            if step == killed_at:
                raise KeyboardInterrupt
            return prepare(*arguments) * (float("nan") if step == 6 else 1.0)

        monkeypatch.setattr(task.batches.reader, "prepare", prepared)
        return task

    whole = start("whole", 0)
    train(whole, 4, "whole")
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", -1.0)
    for name, killed_at in (("before", 3), ("between", 6)):
        with pytest.raises(KeyboardInterrupt):
            train(start(name, 0, killed_at=killed_at), 4, "killed")
        rest = start(name, killed_at)
        timed = sorted(path.name for path in rest.directory.glob("timed_*"))
        assert timed == [f"timed_{killed_at:08d}"]
        train(rest, 4, "rest")
        expected = weights(whole)
        assert all(torch.equal(tensor, expected[n]) for n, tensor in weights(rest).items())
        names = sorted(path.name for path in rest.directory.iterdir())
        assert names == ["epoch_0004", "metrics.jsonl"]
        rows = (rest.directory / "metrics.jsonl").read_bytes()
        assert rows == (whole.directory / "metrics.jsonl").read_bytes()


def test_other_settings_have_other_recovery_points(
    digits_space: SearchSpace, small_data: Dataset, tmp_path: Path
) -> None:
    one = build(digits_space, small_data, tmp_path)
    other = build(digits_space, small_data, tmp_path, RECIPE.model_copy(update={"lr": 1e-3}))
    assert one.directory != other.directory
    train(one, 1, "one")
    moved = replace(other, directory=one.directory)
    with pytest.raises(ArtifactError, match="checkpoint of another task"):
        train(moved, 2, "other")


def test_damage_and_divergence_are_told(
    digits_space: SearchSpace, small_data: Dataset, tmp_path: Path
) -> None:
    task = build(digits_space, small_data, tmp_path)
    train(task, 1, "one")
    newest = checkpoint.newest(task.directory, 1, 99)
    assert newest is not None
    (newest / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match=r"model\.safetensors: damaged"):
        train(build(digits_space, small_data, tmp_path), 2, "two")
    (task.directory / "metrics.jsonl").write_text("{}\n")
    shutil.rmtree(newest)
    with pytest.raises(ArtifactError, match=r"metrics\.jsonl: line 1 is damaged"):
        train(build(digits_space, small_data, tmp_path), 2, "two")
    wild = build(digits_space, small_data, tmp_path / "wild")
    with torch.no_grad():
        wild.model.head.weight.fill_(float("inf"))
    with pytest.raises(McuformerError, match=r"recipe\.lr: the loss is"):
        train(wild, 1, "wild")


def test_weights_of_another_network_are_refused(
    digits_space: SearchSpace, small_data: Dataset, tmp_path: Path
) -> None:
    task = build(digits_space, small_data, tmp_path)
    train(task, 1, "one")
    path = checkpoint.newest(task.directory, 1, 99) / "model.safetensors"
    wider = digits_space.model_copy(update={"num_classes": 11})
    other = build(wider, small_data, tmp_path / "other")
    with pytest.raises(ArtifactError, match=r"weights of another network: head\.bias"):
        checkpoint.load_model(other.model, path)
