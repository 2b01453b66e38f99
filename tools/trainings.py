"""Trainings of single networks that tools compare: each is recorded, and not repeated."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mcuformer.data.dataset import Dataset
from mcuformer.run.artifact import read_json, write_json
from supernet.modules import ModuleT
from supernet.task import Task
from supernet.trainer import train


def first_images(dataset: Dataset, count: int) -> Dataset:
    """Return the data set with its first `count` training images and an empty steering part."""
    images = np.arange(min(count, len(dataset.train)))
    return replace(dataset, train=dataset.train.take(images)).without_steering()


def trained(task: Task[ModuleT], description: str) -> tuple[ModuleT, float]:
    """Return the trained network and the CPU seconds of its training.

    The training starts anew, and its checkpoints are removed: an interrupted one is short, and its
    seconds would be too few.
    """
    shutil.rmtree(task.directory, ignore_errors=True)
    started = time.process_time()  # the machine may be busy with other work
    model = train(task, task.recipe.epochs, description).model
    seconds = time.process_time() - started
    shutil.rmtree(task.directory)
    return model, seconds


def recorded(path: Path, kind: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what a file records; measure and write it first if there is none.

    Args:
        path: the file.
        kind: kind of its content, see :func:`write_json`.
        measure: returns the content.
    """
    if not path.exists():
        write_json(path, kind, measure())
    return read_json(path, kind)
