"""Raw images in memory or on disk, and the parts of a data set as it is published."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mcuformer.errors import DataError

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


class ImageSource(Protocol):
    """Images of one shape, in memory or on disk; indexing by a slice or an array gives an array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(B, H, W, C)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any) -> Images: ...


@dataclass(frozen=True)
class PictureImages:
    """Images of picture files, read when they are indexed.

    Args:
        read: reads the image at a position of the source, (H, W, C).
        positions: positions of these images in the source, (B,).
        image_shape: shape of an image, (H, W, C); None where they differ, and only a number is a
            valid index.
        identity: digest of the files' contents, which stands for the images in other digests.
        decodes: whether `read` decodes a picture, instead of copying it from memory or the cache.
    """

    read: Callable[[int], Images]
    positions: npt.NDArray[np.int64]
    image_shape: tuple[int, int, int] | None
    identity: str
    decodes: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """(B, H, W, C), or (B,) where shapes differ."""
        return (len(self.positions), *(self.image_shape or ()))

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: Any) -> Images:
        if isinstance(index, int | np.integer):
            return self.read(int(self.positions[index]))
        images = [self.read(int(position)) for position in self.positions[index]]
        return np.stack(images) if images else np.empty((0, *self.shape[1:]), np.uint8)

    def take(self, indices: npt.NDArray[np.int64]) -> PictureImages:
        """Return the images at `indices`, still unread."""
        return replace(self, positions=self.positions[indices])

    def joined(self, other: PictureImages) -> PictureImages:
        """Return these images followed by those of `other`, still unread."""
        if self.read is other.read:
            return replace(self, positions=np.concatenate([self.positions, other.positions]))

        def read(position: int) -> Images:
            return self[position] if position < len(self) else other[position - len(self)]

        both = "".join(f"{part.identity}{part.positions.tolist()}" for part in (self, other))
        return PictureImages(
            read,
            np.arange(len(self) + len(other)),
            self.image_shape,
            hashlib.sha256(both.encode()).hexdigest(),
            self.decodes or other.decodes,
        )


@dataclass(frozen=True)
class Split:
    """A part of a data set.

    Args:
        images: raw pixels, (B, H, W, C).
        labels: class numbers, (B,).
        crops: the same pictures, larger and with their own aspect, for random crops; None if the
            set has no pictures, or no crops were asked for.
    """

    images: ImageSource
    labels: Labels
    crops: PictureImages | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def digest(self) -> str:
        """Digest of images and labels; pictures count by the contents of their files."""
        result = hashlib.sha256(self.labels.tobytes())
        images = self.images
        if isinstance(images, PictureImages):
            result.update(images.identity.encode())
            result.update(images.positions.tobytes())
        else:
            result.update(np.ascontiguousarray(images).tobytes())
        return result.hexdigest()

    def take(self, indices: npt.NDArray[np.int64]) -> Split:
        """Return the examples at `indices` (n,)."""
        images = self.images
        selected = images.take(indices) if isinstance(images, PictureImages) else images[indices]
        crops = None if self.crops is None else self.crops.take(indices)
        return Split(selected, self.labels[indices], crops)

    def joined(self, other: Split) -> Split:
        """Return this split followed by `other`; pictures stay where they are."""
        labels = np.concatenate([self.labels, other.labels])
        a, b = self.images, other.images
        if not (isinstance(a, PictureImages) and isinstance(b, PictureImages)):
            return Split(np.concatenate([a[:], b[:]]), labels)
        crops = None
        if self.crops is not None and other.crops is not None:
            crops = self.crops.joined(other.crops)
        return Split(a.joined(b), labels, crops)


@dataclass(frozen=True)
class Parts:
    """A data set as it is published.

    Args:
        train: the training part.
        validation: the validation part, or None if the set has no such part beside a test part.
        test: the test part, or None if the set has no such part.
        class_names: name of each class; empty if the format has none.
    """

    train: Split
    validation: Split | None
    test: Split | None
    class_names: tuple[str, ...]


def missing(what: str, root: Path, names: Iterable[str], source: str) -> DataError:
    """Return the error that `what` is missing.

    Args:
        what: what is missing.
        root: where it was looked for.
        names: names that were looked for.
        source: how to get the data, or "".
    """
    hint = f"; {source}" if source else ""
    return DataError(
        f"{what} not found{hint}", where="data.root", got=root, expected=", ".join(names)
    )


def check_fits(num_bytes: int, memory_bytes: int, where: object) -> None:
    """Refuse arrays that are larger than the memory allowed for them, before they are allocated.

    Raises:
        DataError: they are larger.
    """
    if num_bytes > memory_bytes:
        raise DataError(
            "larger than data.memory_gib allows",
            where=where,
            got=f"{num_bytes / 2**30:.3g} GiB" if num_bytes < 2**60 else "2^60 bytes or more",
            expected=f"at most {memory_bytes / 2**30:g}",
        )


def check_class_names(names: Sequence[str], where: object) -> None:
    """Refuse class names that reports and C headers cannot hold, and a single class.

    Raises:
        DataError: naming the first.
    """
    for name in names:
        if not name.isprintable() or not name.strip():
            raise DataError("a class name must be printable text", where=where, got=ascii(name))
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError("two classes of one name", where=where, got=twice[0])
    if len(names) < 2:
        raise DataError(
            "fewer than two classes", where=where, got=", ".join(names) or "none", expected="two"
        )


def reason(error: Exception) -> str:
    """Return the message of another library's error on one line, or its type if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def is_regular_file(path: Path) -> bool:
    """Return whether a path is a file, or leads to one; a pipe or a device could last for ever."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # a link or a folder that may not be followed; a zero byte
        return False


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder, or leads to one."""
    try:
        return path.is_dir()
    except (OSError, ValueError):  # as above
        return False
