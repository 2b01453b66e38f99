"""Data sets, their splits and class names, as numpy arrays."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, assert_never

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from mcuformer.data import readers
from mcuformer.data.preprocessing import Preprocessing
from mcuformer.data.readers import ImageSource, Labels, LazyImages, Parts, Pictures
from mcuformer.data.timm_reader import read_timm
from mcuformer.errors import DataError
from mcuformer.seed import stream
from mcuformer.subnet import PositiveInt, SubnetConfig
from mcuformer.value import Value

Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]


class DataConfig(Value):
    """A data set: where it comes from, what its images are, and how it is split.

    Args:
        name: name of the set, for reports.
        format: ``digits`` (bundled with scikit-learn); ``npz`` (a file at `root`); ``idx`` (MNIST's
            four files under `root`); ``cifar10`` (its binary or Python batches under `root`);
            ``image_folder`` (``train/CLASS/*.jpg`` under `root`); ``timm`` (whatever
            ``timm.data.create_dataset`` reads, by its `timm_name`).
        root: file or folder of the data; null for the bundled digits.
        timm_name: name of the set in timm, for ``format=timm``.
        source: where to get the set, for the message that it is missing.
        img_size: side of the square images in pixels.
        num_classes: number of classes.
        class_names: name of each class, for a format that has none; null takes their numbers.
        preprocessing: how pictures become raw pixels, and raw pixels the network's input.
        steering_fraction: share of the training part that is held out to steer searches.
        test_fraction: share of the training part that is held out for tests, if the set has no
            test part of its own.
        split_seed: seed of the splits, independent of the run's seed.
        memory_gib: largest part, in GiB of raw pixels, that is held in memory; a larger one stays
            on disk.
    """

    name: str
    format: Literal["digits", "npz", "idx", "cifar10", "image_folder", "timm"]
    root: str | None = None
    timm_name: str | None = None
    source: str = ""
    img_size: PositiveInt
    num_classes: Annotated[int, Field(ge=2)]
    class_names: tuple[str, ...] | None = None
    preprocessing: Preprocessing
    steering_fraction: Fraction = 0.2
    test_fraction: Fraction = 0.2
    split_seed: int = 0
    memory_gib: Annotated[float, Field(gt=0.0)] = 2.0

    @model_validator(mode="after")
    def _check(self) -> DataConfig:
        if self.preprocessing.img_size != self.img_size:
            raise ValueError(
                f"preprocessing.img_size {self.preprocessing.img_size} differs from img_size "
                f"{self.img_size}"
            )
        if (self.format != "digits") != (self.root is not None):
            raise ValueError("root must be given for every format but digits, and null for digits")
        if (self.format == "timm") != (self.timm_name is not None):
            raise ValueError("timm_name must be given for format=timm, and for no other")
        if self.class_names is not None and len(self.class_names) != self.num_classes:
            raise ValueError(f"{len(self.class_names)} class_names for {self.num_classes} classes")
        return self

    def check_network(self, subnet: SubnetConfig) -> None:
        """Refuse a network for other channels or classes; of another size images are resized.

        Raises:
            DataError: data and network differ.
        """
        of_data = (self.preprocessing.in_chans, self.num_classes)
        of_network = (subnet.in_chans, subnet.num_classes)
        if of_data != of_network:
            raise DataError(
                "data and network differ in (in_chans, num_classes)",
                where="data",
                got=of_data,
                expected=of_network,
            )

    def files(self) -> tuple[Path, ...]:
        """Return the files, or the folder, that the data are read from.

        Raises:
            DataError: one is missing; the message says what was expected and how to get it.
        """
        if self.root is None:
            return ()
        path = Path(self.root).expanduser()
        if self.format == "idx":
            return readers.idx_files(path, self.source)
        if self.format == "cifar10":
            return readers.cifar10_files(path, self.source)
        kind = "a .npz file" if self.format == "npz" else "a folder"
        if not (path.is_file() if self.format == "npz" else path.is_dir()):
            raise readers.missing(f"{kind} of the data", path, (kind,), self.source)
        return (path,)

    def pictures(self) -> Pictures:
        """Return the reader of this set's picture files."""
        chans = self.preprocessing.in_chans
        shape = (self.img_size, self.img_size, chans)
        return Pictures(self.preprocessing.read_image, shape, int(self.memory_gib * 2**30))


@dataclass(frozen=True)
class Split:
    """A part of a data set.

    Args:
        images: raw pixels, (B, H, W, C).
        labels: class numbers, (B,).
    """

    images: ImageSource
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def digest(self) -> str:
        """Digest of images and labels; images on disk count by their names and sizes."""
        result = hashlib.sha256(self.labels.tobytes())
        images = self.images
        if isinstance(images, LazyImages):
            result.update(images.identity.encode())
            result.update(images.positions.tobytes())
        else:
            result.update(np.ascontiguousarray(images).tobytes())
        return result.hexdigest()

    def take(self, indices: npt.NDArray[np.int64]) -> Split:
        """Return the examples at `indices` (n,)."""
        images = self.images
        selected = images.take(indices) if isinstance(images, LazyImages) else images[indices]
        return Split(selected, self.labels[indices])

    def joined(self, other: Split) -> Split:
        """Return this split followed by `other`; images of one source on disk stay there."""
        labels = np.concatenate([self.labels, other.labels])
        a, b = self.images, other.images
        if isinstance(a, LazyImages) and isinstance(b, LazyImages) and a.read is b.read:
            positions = np.concatenate([a.positions, b.positions])
            return Split(replace(a, positions=positions), labels)
        return Split(np.concatenate([a[:], b[:]]), labels)


@dataclass(frozen=True)
class Dataset:
    """A data set, split.

    Args:
        class_names: name of each class.
        preprocessing: how raw pixels become the network's input.
        train: what networks are trained on.
        steering: what is held out of supernet training, to steer searches.
        test: what only reports look at.
    """

    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    train: Split
    steering: Split
    test: Split


def load(config: DataConfig, img_size: int | None = None) -> Dataset:
    """Load a data set and split it.

    Args:
        config: data set.
        img_size: side that images are resized to, the network's; None keeps the data's.

    Raises:
        DataError: the data are missing, damaged or not as configured.
    """
    parts = _read(config, img_size or config.img_size)
    config = _at_size(config, img_size or config.img_size)
    whole, test = Split(*parts.train), None if parts.test is None else Split(*parts.test)
    names = config.class_names or parts.class_names
    names = names or tuple(str(number) for number in range(config.num_classes))
    if len(names) != config.num_classes:
        raise DataError(
            "wrong number of classes",
            where="data.num_classes",
            got=config.num_classes,
            expected=f"{len(names)}, as in the data",
        )
    if test is None:
        whole, test = _stratified(whole, config.test_fraction, config.split_seed, "test")
    train, steering = _stratified(whole, config.steering_fraction, config.split_seed, "steering")
    for part in (train, test):
        _check_split(part, config)
    return Dataset(names, config.preprocessing, train, steering, test)


def _at_size(config: DataConfig, img_size: int) -> DataConfig:
    preprocessing = config.preprocessing.model_copy(update={"img_size": img_size})
    return config.model_copy(update={"img_size": img_size, "preprocessing": preprocessing})


def _read(config: DataConfig, img_size: int) -> Parts:
    """Read the whole set, with images of side `img_size`."""
    config.files()
    root, sized = Path(config.root or "").expanduser(), _at_size(config, img_size)
    match config.format:
        case "image_folder":
            return readers.read_image_folder(root, config.source, sized.pictures())
        case "timm":
            name, pictures = str(config.timm_name), sized.pictures()
            return read_timm(name, config.root, sized.preprocessing, pictures)
        case "digits":
            parts = readers.read_digits()
        case "npz":
            parts = readers.read_npz(root, config.num_classes)
        case "idx":
            parts = readers.read_idx(root, config.source)
        case "cifar10":
            parts = readers.read_cifar10(root, config.source)
        case _:
            assert_never(config.format)
    test = None if parts.test is None else _resized(parts.test, config, sized.preprocessing)
    return Parts(_resized(parts.train, config, sized.preprocessing), test, parts.class_names)


def _resized(
    part: tuple[ImageSource, Labels], config: DataConfig, preprocessing: Preprocessing
) -> tuple[ImageSource, Labels]:
    """Check that images have the configured size, and resize them to the network's."""
    images, labels = part
    expected = (config.img_size, config.img_size, preprocessing.in_chans)
    if images.shape[1:] != expected:
        raise DataError(
            "images of another size", where="data", got=images.shape[1:], expected=expected
        )
    if preprocessing.img_size != config.img_size:
        images = np.stack([preprocessing.resized(image) for image in images[:]])
    return images, labels


def _stratified(split: Split, fraction: float, seed: int, name: str) -> tuple[Split, Split]:
    """Hold out `fraction` of every class, at least one example; return (remaining, held out)."""
    rng = stream(seed, "split", name)
    by_class = []
    for label in np.unique(split.labels):
        members = rng.permutation(np.flatnonzero(split.labels == label))
        by_class.append(members[: max(1, round(fraction * len(members)))])
    held_out = np.sort(np.concatenate(by_class))
    remaining = np.setdiff1d(np.arange(len(split)), held_out)
    return split.take(remaining), split.take(held_out)


def _check_split(split: Split, config: DataConfig) -> None:
    if len(split) == 0:
        raise DataError("a part of the data set is empty", where="data")
    if split.labels.min() < 0 or split.labels.max() >= config.num_classes:
        raise DataError(
            "label out of range",
            where="data",
            got=f"{split.labels.min()} to {split.labels.max()}",
            expected=f"0 to {config.num_classes - 1}",
        )
    if isinstance(split.images, np.ndarray):
        largest = int(split.images.max())
        if largest > config.preprocessing.value_max:
            raise DataError(
                "pixel beyond value_max",
                where="data.preprocessing.value_max",
                got=largest,
                expected=f"at most {config.preprocessing.value_max}",
            )
