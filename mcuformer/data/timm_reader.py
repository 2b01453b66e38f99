"""Reader of the data sets that ``timm.data.create_dataset`` knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mcuformer.data.decode import upright
from mcuformer.data.images import reason
from mcuformer.data.picture_source import PicturePart, PictureParts
from mcuformer.errors import DataError
from mcuformer.run.artifact import digest, file_digest
from mcuformer.run.progress import say

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

LABELS = ("targets", "labels", "_labels")  # attributes of torchvision's sets


def read_timm(name: str, root: str) -> PictureParts:
    """List the training and validation parts of a data set; timm decodes its pictures.

    Args:
        name: name of the set in timm, for instance ``torch/cifar100``.
        root: folder of the data.

    Raises:
        DataError: timm cannot read it.
    """
    content = file_digest(Path(root))
    train, names = _part(name, root, "train", content)
    try:
        test = _part(name, root, "validation", content)[0]
    except DataError:
        say(f"{name} has no validation part; data.test_fraction makes one")
        test = None
    return PictureParts(train, None, test, names)


def _part(name: str, root: str, split: str, content: str) -> tuple[PicturePart, tuple[str, ...]]:
    """List one part, and the class names."""
    from timm.data import create_dataset

    try:
        dataset: Any = create_dataset(name, root=root, split=split, download=False)
        labels = np.array(_labels(dataset), np.int64)
    except Exception as error:  # timm's readers raise whatever their libraries do
        raise DataError(
            f"timm cannot read {name} ({split}): {reason(error)}", where="data.root"
        ) from error

    def read(index: int) -> Picture:
        try:
            return upright(dataset[index][0])
        except Exception as error:  # as above
            where = f"picture {index} of {name} ({split})"
            raise DataError(f"not a readable image: {reason(error)}", where=where) from error

    class_names = tuple(str(name) for name in getattr(dataset, "classes", ()))
    identity = digest(f"{name} {split} {content}".encode())
    return PicturePart(labels, read, lambda: identity), class_names


def _labels(dataset: Any) -> list[int]:
    """Return the labels, without decoding pictures where the data set lets one.

    torchvision's sets hold them in a list, timm's readers give the open file beside the label.
    """
    count = len(dataset)
    for name in LABELS:
        labels = getattr(dataset, name, None)
        if labels is not None and len(labels) == count:
            return [int(label) for label in labels]
    reader = getattr(dataset, "reader", None)
    source = dataset if reader is None else reader
    return [int(source[index][1]) for index in range(count)]
