"""Speed of this machine: training steps and evaluations, measured on made-up images."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from mcuformer.data.dataset import Dataset
from mcuformer.data.images import Split
from mcuformer.data.preprocessing import Preprocessing
from mcuformer.run.scratch import scratch
from mcuformer.seed import stream
from mcuformer.space import SearchSpace, SpacePoint
from mcuformer.subnet import SubnetConfig
from supernet.data import pad_value
from supernet.evaluate import accuracy_percent
from supernet.model import Supernet
from supernet.processes import Processes
from supernet.recipe import Recipe
from supernet.task import SupernetSetting, Task, network_task, supernet_task
from supernet.trainer import train
from supernet.vit import Vit

MOST_BATCHES, FEWEST_BATCHES = 8, 2  # per epoch, whose end takes time as well
MOST_BYTES = 64 * 2**20  # of made-up images, unless these are the fewest batches
LONGEST = 10_000  # epochs, more than are measured, whatever the recipe's number
MEASURED_SECONDS = 2.0  # of training, after a first epoch in which memory is allocated
EVALUATED_IMAGES = 256
EVALUATED_SUBNETS = 3


def made_up(preprocessing: Preprocessing, num_classes: int, num_images: int) -> Dataset:
    """Return a data set of random pixels with the same images in each split.

    Args:
        preprocessing: size, channels and range of the images.
        num_classes: number of classes K.
        num_images: number of images per split.
    """
    rng, size = stream(0, "speed"), preprocessing.img_size
    shape = (num_images, size, size, preprocessing.in_chans)
    images = rng.integers(0, preprocessing.value_max, shape, dtype=np.uint8, endpoint=True)
    split = Split(images, np.arange(num_images, dtype=np.int64) % num_classes)
    names = tuple(str(number) for number in range(num_classes))
    return Dataset(names, preprocessing, split, split, split)


def made_up_batches(
    preprocessing: Preprocessing, num_classes: int, recipe: Recipe
) -> tuple[Dataset, Recipe]:
    """Return a made-up data set of a few batches, and the recipe for a training of any length."""
    batch_bytes = recipe.batch_size * preprocessing.img_size**2 * preprocessing.in_chans
    batches = min(max(MOST_BYTES // batch_bytes, FEWEST_BATCHES), MOST_BATCHES)
    data = made_up(preprocessing, num_classes, batches * recipe.batch_size)
    return data, recipe.model_copy(update={"epochs": LONGEST})


def supernet_step_seconds(
    space: SearchSpace,
    point: SpacePoint | None,
    preprocessing: Preprocessing,
    setting: SupernetSetting,
) -> float:
    """Return the seconds of one training step of a point's supernet, or of the joint one.

    Args:
        space: search space.
        point: space point of the supernet; None is the joint one.
        preprocessing: of the data, at the point's image size.
        setting: how it is trained; nothing is written to its directory.
    """
    data, recipe = made_up_batches(preprocessing, space.num_classes, setting.recipe)
    with scratch("speed") as folder:
        setting = replace(setting, recipe=recipe, points_dir=folder)
        return _step_seconds(lambda: supernet_task(space, point, data, setting))


def network_step_seconds(
    subnet: SubnetConfig,
    preprocessing: Preprocessing,
    recipe: Recipe,
    seed: int,
    supernet: Supernet | None = None,
) -> float:
    """Return the seconds of one training step of a single network.

    Args:
        subnet: the network.
        preprocessing: of the data, at the network's image size.
        recipe: how it is trained.
        seed: seed of the run.
        supernet: its largest subnet is the recipe's teacher ``largest``, if it has this one.
    """
    data, recipe = made_up_batches(preprocessing, subnet.num_classes, recipe)
    data = data.without_steering()  # networks train on that, too
    with scratch("speed") as folder:

        def build() -> Task[Vit]:
            vit = Vit(subnet, pad_value(preprocessing), recipe.drop_path_rate)
            return replace(network_task(vit, data, recipe, seed, folder, {}), supernet=supernet)

        return _step_seconds(build)


def evaluation_seconds(
    space: SearchSpace, point: SpacePoint, preprocessing: Preprocessing
) -> float:
    """Return the seconds in which a subnet of a point's supernet classifies one image."""
    data, device = (
        made_up(preprocessing, space.num_classes, EVALUATED_IMAGES).test,
        Processes().device,
    )
    model = Supernet(space, point, pad_value(preprocessing)).to(device).eval()
    seconds, rng = [], stream(0, "speed")
    for _ in range(EVALUATED_SUBNETS):
        subnet = space.sample(point, rng)
        started = time.perf_counter()
        accuracy_percent(partial(model, subnet=subnet), data, preprocessing, device)
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds)) / EVALUATED_IMAGES


def _step_seconds(build: Callable[[], Task[Any]]) -> float:
    """Return the seconds of one step of a training, after a first epoch.

    Args:
        build: builds the training, on made-up batches.
    """
    task = build()
    steps = task.batches.steps_per_epoch
    _timed(task, 1)  # in which memory is allocated and workers start
    one = _timed(task, 2)
    epochs = math.ceil(MEASURED_SECONDS / one)
    if epochs == 1:
        return one / steps
    return (one + _timed(task, 1 + epochs)) / (steps * epochs)


def _timed(task: Task[Any], until_epoch: int) -> float:
    started = time.perf_counter()
    train(task, until_epoch, "measuring this machine's speed")
    return time.perf_counter() - started
