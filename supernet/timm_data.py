"""Data sets that timm reads, as a reader for :func:`mcuformer.data.load`."""

from __future__ import annotations

from typing import Any

import numpy as np

from mcuformer.data import DataConfig, Images, ImageSource, Labels, Parts, Reader
from mcuformer.errors import DataError
from mcuformer.progress import say


def read_timm(config: DataConfig) -> Parts:
    """Read the training and validation parts of a data set through ``timm.data.create_dataset``.

    Raises:
        DataError: timm cannot read it.
    """
    train, names = _part(config, "train")
    try:
        test = _part(config, "validation")[0]
    except DataError:
        say(f"{config.timm_name} has no validation part; data.test_fraction makes one")
        test = None
    return Parts(train, test, names)


def _part(config: DataConfig, split: str) -> tuple[tuple[ImageSource, Labels], tuple[str, ...]]:
    from timm.data import create_dataset

    try:
        dataset: Any = create_dataset(
            config.timm_name, root=config.root, split=split, download=False
        )
        labels = np.array([_label(dataset, index) for index in range(len(dataset))], np.int64)
    except Exception as error:  # timm's readers raise whatever their libraries do
        raise DataError(
            f"timm cannot read {config.timm_name} ({split}): {error}", where="data.root"
        ) from error

    def read(index: int) -> Images:
        return config.preprocessing.read_picture(dataset[index][0])

    identity = f"{config.timm_name} {config.root} {split}"
    names = tuple(str(name) for name in getattr(dataset, "classes", ()))
    return (config.pictures().source(read, len(labels), identity), labels), names


def _label(dataset: Any, index: int) -> int:
    targets = getattr(dataset, "targets", None)
    return int(targets[index] if targets is not None else dataset[index][1])


READERS: dict[str, Reader] = {"timm": read_timm}
