"""The parts of a recipe: teachers, augmentation, averages, rollbacks, int8 rounding."""

from __future__ import annotations

from dataclasses import replace
from multiprocessing import current_process
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.data.auto_augment import rand_augment_transform
from torch import nn

from mcuformer.data.dataset import DataConfig, Dataset, load
from mcuformer.data.images import PictureImages, Split
from mcuformer.data.preprocessing import Preprocessing
from mcuformer.errors import ConfigError, DataError, InternalError
from mcuformer.run.artifact import read_json, save_arrays
from mcuformer.seed import stream
from mcuformer.space import SearchSpace
from supernet import trainer
from supernet.augment import Augmentation, draw, shift
from supernet.checkpoint import model_arrays, newest
from supernet.data import BatchReader, BatchSource
from supernet.distillation import build_teacher, distilled_loss
from supernet.elastic import ElasticLinear, Linear
from supernet.recipe import Distillation, Recipe, TimmTeacher
from supernet.rounding import fake_quantize_input, fake_quantize_weight, set_fake_quant
from supernet.sampling import SandwichSampling
from supernet.task import SupernetSetting, Task, supernet_task
from supernet.timm_names import COMMON_OPTIMIZERS
from supernet.trainer import train

EVERYTHING = Recipe(
    epochs=4,
    batch_size=32,
    lr=3e-3,
    warmup_epochs=1,
    mixup=0.4,
    hflip=True,
    crop_padding=1,
    rand_augment="rand-m5-n1",
    random_erasing=0.5,
    drop_path_rate=0.2,
    ema_decay=0.8,
    distillation=Distillation(teacher="largest"),
    fake_quant_epochs=2,
    precision="bf16",
    num_workers=0,  # a batch is prepared when it is used
    checkpoint_steps=1,
)
TEACHER = {"teacher": {"model": "resnet_18", "checkpoint": "x"}}
PLAIN = Recipe(epochs=4, batch_size=32, lr=3e-3, warmup_epochs=1, checkpoint_steps=2)


@pytest.fixture(scope="module")
def data(digits_config: DataConfig) -> Dataset:
    whole = load(digits_config)
    return replace(whole, train=whole.train.take(np.arange(96)))


def build(space: SearchSpace, data: Dataset, path: Path, recipe: Recipe) -> Task:
    torch.set_num_threads(1)
    setting = SupernetSetting(recipe, SandwichSampling(name="sandwich"), 7, path)
    return supernet_task(space, space.point_at((1, 2)), data, setting)


def interrupt(task: Task, monkeypatch: pytest.MonkeyPatch, at: int, error: BaseException) -> None:
    """Raise `error` once `at` batches have been prepared."""
    prepare, calls = task.batches.reader.prepare, iter(range(10**6))

    def prepared(*arguments: object) -> torch.Tensor:
        if next(calls) == at:
            raise error
        return prepare(*arguments)

    monkeypatch.setattr(task.batches.reader, "prepare", prepared)


def test_everything_at_once_resumes_exactly(
    digits_space: SearchSpace, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(build(digits_space, data, tmp_path / "whole", EVERYTHING), 4, "whole").model
    task = build(digits_space, data, tmp_path / "parts", EVERYTHING)
    interrupt(task, monkeypatch, 7, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        train(task, 4, "interrupted")
    rest = train(build(digits_space, data, tmp_path / "parts", EVERYTHING), 4, "rest")
    assert rest.epochs == pytest.approx(5 / 3)
    expected = whole.state_dict()
    assert all(torch.equal(tensor, expected[n]) for n, tensor in rest.model.state_dict().items())
    rows = (task.directory / "metrics.jsonl").read_text().splitlines()
    assert len(rows) == 4


def test_a_loss_that_is_not_finite_rolls_back(
    digits_space: SearchSpace, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = build(digits_space, data, tmp_path, PLAIN)
    prepare, calls = task.batches.reader.prepare, iter(range(10**6))

    def prepared(*arguments: object) -> torch.Tensor:
        return prepare(*arguments) * (float("nan") if next(calls) == 5 else 1.0)

    monkeypatch.setattr(task.batches.reader, "prepare", prepared)
    said: list[str] = []
    monkeypatch.setattr(trainer, "say", said.append)
    train(task, 2, "rolled back")
    assert said == ["the loss is nan at epoch 1, step 2: back to step 4, with the rate times 0.5"]
    path = newest(task.directory, 2, 6)
    assert path is not None
    state = read_json(path / "state.json", "checkpoint")
    assert (state["rollbacks"], state["lr_scale"], state["step"]) == (1, 0.5, 6)
    assert all(torch.isfinite(tensor).all() for tensor in task.model.state_dict().values())


def test_spikes_are_seen_after_a_while(
    digits_space: SearchSpace, data: Dataset, tmp_path: Path
) -> None:
    training = trainer._Training(build(digits_space, data, tmp_path, PLAIN), 1, "x", None)
    assert training._fault(float("inf")) == "the loss is inf"
    for step in range(trainer.SPIKE_PATIENCE):
        assert training._fault(20.0) is None
        training._finish_step(0, step, 2.0)
    assert training._fault(10.1) == "the loss jumped from 2.000 to 10.100"
    assert training._fault(9.9) is None
    for step in range(1000):  # nearly all images are right: below ln(10) / 2, a batch is a hard one
        training._finish_step(0, step, 0.05)
    assert training._fault(1.15) is None
    assert training._fault(1.16) == "the loss jumped from 0.050 to 1.160"


def test_distilled_loss_by_hand() -> None:
    logits, teacher = torch.tensor([[0.0, np.log(3.0)]]), torch.tensor([[np.log(3.0), 0.0]])
    settings = Distillation(teacher="largest", weight=0.25)
    kl = 0.75 * np.log(0.75 / 0.25) + 0.25 * np.log(0.25 / 0.75)
    loss = distilled_loss(torch.tensor(2.0), logits, teacher, settings)
    assert float(loss) == pytest.approx(0.75 * 2.0 + 0.25 * kl, rel=1e-5)
    warm = settings.model_copy(update={"temperature": 2.0, "weight": 1.0})
    p = np.array([np.sqrt(3.0), 1.0]) / (1 + np.sqrt(3.0))
    expected = 4 * float((p * np.log(p / p[::-1])).sum())
    assert float(distilled_loss(torch.tensor(2.0), logits, teacher, warm)) == pytest.approx(
        expected, rel=1e-5
    )


def test_timm_teachers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    arguments = {"img_size": 8, "patch_size": 4, "embed_dim": 24, "depth": 1, "num_heads": 2}
    network = timm.create_model(
        "vit_tiny_patch16_224", num_classes=10, in_chans=1, **arguments
    ).eval()
    path = tmp_path / "teacher.safetensors"
    save_arrays(path, model_arrays(network))
    config = TimmTeacher(model="vit_tiny_patch16_224", checkpoint=str(path), arguments=arguments)
    teacher = build_teacher(Distillation(teacher=config), network, 10, 1)
    images = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(teacher(images), network(images))
    for change in ({"model": "no_such_net"}, {"arguments": {}}):
        wrong = Distillation(teacher=config.model_copy(update=change))
        with pytest.raises(ConfigError, match=r"recipe\.distillation\.teacher: no teacher"):
            build_teacher(wrong, network, 10, 1)
    with pytest.raises(ConfigError, match="only a supernet has a largest subnet"):
        build_teacher(Distillation(teacher="largest"), network, 10, 1)


def test_shifts_keep_the_image(rng: np.random.Generator) -> None:
    images = rng.integers(1, 17, (200, 8, 8, 1)).astype(np.uint8)
    moved = shift(images, 2, (0,), rng.random((200, 2)))
    seen = set()
    for before, after in zip(images[..., 0], moved[..., 0], strict=True):
        inside = [
            (dy, dx)
            for dy in range(-2, 3)
            for dx in range(-2, 3)
            if np.array_equal(np.pad(before, 2)[2 + dy : 10 + dy, 2 + dx : 10 + dx], after)
        ]
        assert len(inside) == 1
        seen.add(inside[0])
    assert len(seen) == 25


def test_pictures_of_small_ranges_survive_timms_transforms(preprocessing: Preprocessing) -> None:
    """RandAugment of magnitude 0 and probability 0 gives back the very pixels, 0 to 16."""
    recipe = PLAIN.model_copy(update={"rand_augment": "rand-m0-p0-n1"})
    images = np.arange(17, dtype=np.uint8).repeat(64)[: 17 * 64].reshape(17, 8, 8, 1)
    augmentation = Augmentation(recipe, preprocessing)
    assert np.array_equal(augmentation.raw(images, draw(0, 0, np.arange(17))), images)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"optimizer": "adamww"}, "optimizer: timm has no such optimiser; did you mean 'adamw'?"),
        ({"scheduler": "cosin"}, "did you mean 'cosine'?"),
        ({"rand_augment": "nonsense"}, "rand_augment: not a RandAugment of timm's"),
        ({"rand_augment": "rand-m9-q3"}, "RandAugment has no section 'q3'"),
        ({"rand_augment": "rand-n999"}, "n999 is too large, expected at most 16"),
        ({"distillation": TEACHER}, "timm has no such model; did you mean 'resnet18'?"),
        ({"lr": 1e308}, "lr: out of range (got 1e+308, expected at most 100.0)"),
        ({"epochs": 10**12}, "epochs: out of range (got 1000000000000, expected at most 100000)"),
    ],
)
def test_names_and_numbers_are_checked_when_parsed(change: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Recipe.parse(PLAIN.dump() | change)
    assert line in str(caught.value)


def test_the_common_names_are_timms() -> None:
    assert set(COMMON_OPTIMIZERS) <= set(timm.optim.list_optimizers())
    for text in ("rand-m9-mstd0.5-inc1", "rand-m7-n3-p0.5", "rand-mstd1-tweights"):
        rand_augment_transform(Recipe.parse(PLAIN.dump() | {"rand_augment": text}).rand_augment)


AUGMENTED = {
    "hflip": True,
    "crop_padding": 2,
    "resized_crop_scale": 0.5,
    "rand_augment": "rand-m9-mstd0.5-inc1",
    "random_erasing": 0.5,
}


@settings(max_examples=6)
@given(workers=st.integers(0, 2), processes=st.sampled_from([1, 2, 3]), first=st.integers(0, 2))
def test_an_image_is_augmented_by_its_number_and_epoch(
    workers: int, processes: int, first: int
) -> None:
    """However many workers and processes, and wherever a resume begins, batches are the same."""
    images = np.random.default_rng(1).integers(0, 256, (19, 8, 8, 1)).astype(np.uint8)
    pre = Preprocessing(img_size=8, channel_order="L", mean=(0.3,), std=(0.5,))
    split = Split(images, np.arange(19) % 3)
    sizes = {"batch_size": 6, "num_workers": workers}
    recipe = PLAIN.model_copy(update={**AUGMENTED, **sizes})
    alone = BatchReader(split, pre, recipe.model_copy(update={"num_workers": 0}), 5)
    order = [stream(5, "data", epoch).permutation(19) for epoch in range(2)]
    shares = [BatchSource(split, pre, recipe, 5) for _ in range(processes)]
    next(shares[0].epoch(1))  # begun and given up, as by a rollback
    for epoch in range(2):
        expected = torch.cat([alone.prepare(epoch, order[epoch][n : n + 1]) for n in range(18)])
        assert len(expected.unique(dim=0)) == 18
        steps = zip(
            *(s.epoch(epoch, first, (rank, processes)) for rank, s in enumerate(shares)),
            strict=True,
        )
        found = [torch.cat([inputs for inputs, _ in step]) for step in steps]
        assert torch.equal(torch.cat(found), expected[6 * first :])
    assert not torch.equal(*(alone.prepare(epoch, np.arange(3)) for epoch in range(2)))


def test_a_worker_of_a_search_starts_no_workers(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a daemon, which may have no children."""
    recipe = PLAIN.model_copy(update={"num_workers": 2})
    batches = BatchSource(data.train, data.preprocessing, recipe, 5)
    before = next(batches.epoch(0))
    monkeypatch.setitem(current_process()._config, "daemon", True)
    for loader in (batches, BatchSource(data.train, data.preprocessing, recipe, 5)):
        assert torch.equal(next(loader.epoch(0))[0], before[0])


def test_processes_share_the_same_order(data: Dataset) -> None:
    recipe = PLAIN.model_copy(update={"batch_size": 30})
    batches = BatchSource(data.train, data.preprocessing, recipe, 5)
    whole = list(batches.epoch(3))
    shares = [list(batches.epoch(3, 1, (rank, 3))) for rank in range(3)]
    for step, (images, labels) in enumerate(whole[1:]):
        assert torch.equal(torch.cat([s[step][0] for s in shares]), images)
        assert torch.equal(torch.cat([s[step][1] for s in shares]), labels)


def test_fake_quantisation_by_hand() -> None:
    weight = torch.tensor([[1.27, -0.633], [0.0, 12.7]], requires_grad=True)
    rounded = fake_quantize_weight(weight)
    assert torch.allclose(rounded, torch.tensor([[1.27, -0.63], [0.0, 12.7]]), atol=1e-6)
    rounded.sum().backward()
    assert torch.equal(weight.grad, torch.ones(2, 2))
    x = torch.tensor([-1.0, 0.0, 0.506, 1.55])
    assert torch.allclose(fake_quantize_input(x), torch.tensor([-1.0, 0.0, 0.51, 1.55]), atol=1e-6)


def test_fake_quantisation_switches_linear_layers_and_nothing_else() -> None:
    model = nn.ModuleDict(
        {"static": Linear(4, 3), "elastic": ElasticLinear(4, 3), "foreign": nn.Linear(4, 3)}
    )
    model["foreign"].fake_quant = False  # a module of somebody else's, with a name of ours
    x = torch.linspace(-1.0, 1.0, 8).reshape(2, 4)
    before = [model["static"](x), model["elastic"](x, 3)]
    set_fake_quant(model, True)
    assert model["foreign"].fake_quant is False
    rounded = [model["static"](x), model["elastic"](x, 3)]
    assert not any(torch.equal(a, b) for a, b in zip(before, rounded, strict=True))
    set_fake_quant(model, False)
    after = [model["static"](x), model["elastic"](x, 3)]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("decodes", [False, True])
def test_random_crops_come_from_the_larger_pictures(decodes: bool) -> None:
    """Of pictures whose every pixel is 9 only in the larger form, crops have no other value."""
    pre = Preprocessing(img_size=8, channel_order="L", mean=(0.0,), std=(1.0,))
    small = PictureImages(
        lambda _: np.zeros((8, 8, 1), np.uint8), np.arange(6), (8, 8, 1), "", False
    )
    large = PictureImages(
        lambda i: np.full((9 + i, 20, 1), 9, np.uint8), np.arange(6), None, "", decodes
    )
    recipe = PLAIN.model_copy(update={"resized_crop_scale": 0.2, "batch_size": 3})
    split = Split(small, np.arange(6), large)
    batches = BatchSource(split, pre, recipe, 0)
    pixels = [255 * images for images, _ in batches.epoch(0)]
    assert [batch.shape for batch in pixels] == [(3, 1, 8, 8)] * 2
    assert {round(float(value)) for batch in pixels for value in batch.unique()} == {9}
    with pytest.raises(InternalError, match="loaded without them"):
        next(BatchSource(replace(split, crops=None), pre, recipe, 0).epoch(0))


def test_a_picture_that_breaks_while_training_is_one_line() -> None:
    def read(position: int) -> np.ndarray:
        raise DataError("not a readable image", where="x.jpg")

    pre = Preprocessing(img_size=8, channel_order="L", mean=(0.0,), std=(1.0,))
    broken = PictureImages(read, np.arange(4), (8, 8, 1), "", decodes=True)
    recipe = PLAIN.model_copy(update={"batch_size": 2})
    with pytest.raises(DataError) as fault:
        next(BatchSource(Split(broken, np.arange(4)), pre, recipe, 0).epoch(0))
    assert str(fault.value) == "x.jpg: not a readable image"
