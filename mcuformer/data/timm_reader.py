"""Reader of the data sets that ``timm.data.create_dataset`` knows."""

from __future__ import annotations

from typing import Any

import numpy as np

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.data.readers import Images, ImageSource, Labels, Parts, Pictures
from mcuformer.errors import DataError
from mcuformer.run.progress import say


def read_timm(
    name: str, root: str | None, preprocessing: Preprocessing, pictures: Pictures
) -> Parts:
    """Read the training and validation parts of a data set.

    Args:
        name: name of the set in timm, for instance ``torch/cifar100``.
        root: folder of the data.
        preprocessing: how a picture becomes raw pixels.
        pictures: shape of the images, and how many are held in memory.

    Raises:
        DataError: timm cannot read it.
    """
    train, names = _part(name, root, "train", preprocessing, pictures)
    try:
        test = _part(name, root, "validation", preprocessing, pictures)[0]
    except DataError:
        say(f"{name} has no validation part; data.test_fraction makes one")
        test = None
    return Parts(train, test, names)


def _part(
    name: str, root: str | None, split: str, preprocessing: Preprocessing, pictures: Pictures
) -> tuple[tuple[ImageSource, Labels], tuple[str, ...]]:
    """Read one part: its images and labels, and the class names."""
    from timm.data import create_dataset

    try:
        dataset: Any = create_dataset(name, root=root, split=split, download=False)
        labels = np.array([_label(dataset, index) for index in range(len(dataset))], np.int64)
    except Exception as error:  # timm's readers raise whatever their libraries do
        raise DataError(f"timm cannot read {name} ({split}): {error}", where="data.root") from error

    def read(index: int) -> Images:
        return preprocessing.read_picture(dataset[index][0])

    class_names = tuple(str(name) for name in getattr(dataset, "classes", ()))
    return (pictures.source(read, len(labels), f"{name} {root} {split}"), labels), class_names


def _label(dataset: Any, index: int) -> int:
    targets = getattr(dataset, "targets", None)
    return int(targets[index] if targets is not None else dataset[index][1])
