"""Splits of arrays and of pictures, taken and joined."""

from __future__ import annotations

import numpy as np
import pytest

from mcuformer.data.images import PictureImages, Split, check_class_names, check_fits
from mcuformer.errors import DataError


def pictures(start: int, identity: str) -> PictureImages:
    def read(position: int) -> np.ndarray:
        return np.full((2, 2, 1), start + position, np.uint8)

    return PictureImages(read, np.arange(4), (2, 2, 1), identity, decodes=False)


def values(split: Split) -> list[int]:
    return split.images[:][:, 0, 0, 0].tolist()


def test_pictures_are_taken_and_joined_unread() -> None:
    a, b = (Split(pictures(start, name), np.arange(4)) for start, name in ((0, "a"), (10, "b")))
    taken = a.take(np.array([3, 1]))
    assert values(taken) == [3, 1]
    assert values(taken.joined(a.take(np.array([0])))) == [3, 1, 0]
    both = taken.joined(b)
    assert values(both.take(np.array([0, 2, 5]))) == [3, 10, 13]
    assert both.labels.tolist() == [3, 1, 0, 1, 2, 3]
    digests = {part.digest for part in (a, b, taken, both, a.take(np.array([1, 3])).joined(b))}
    assert len(digests) == 5


def test_limits() -> None:
    check_fits(10, 10, "x")
    with pytest.raises(DataError, match=r"x: larger than data\.memory_gib allows .got 1.5 GiB"):
        check_fits(3 * 2**29, 2**30, "x")
    with pytest.raises(DataError, match="a class name must be printable text"):
        check_class_names(("a", " "), "x")
