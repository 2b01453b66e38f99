"""Data sets, their splits and class names, as numpy arrays."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

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
        name: of the set, for reports.
        format: ``digits`` (bundled with scikit-learn); ``npz`` (a file at `root`); ``idx`` (MNIST's
            four files under `root`); ``cifar10`` (its binary or python batches under `root`);
            ``image_folder`` (``train/CLASS/*.jpg`` under `root`); ``timm`` (whatever
            ``timm.data.create_dataset`` reads, under its `timm_name`).
        source: where to get the set, for the message when it is missing.
        class_names: of a format that has none; the default is the class numbers.
        steering_fraction: share of the training part held out to steer searches.
        test_fraction: share of a set without a test part of its own that becomes one.
        split_seed: fixes the splits, independently of the run's seed.
        memory_gib: a part of more raw pixels stays on disk and is read as it is needed.
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
            raise ValueError("root says where the data lie, and is null for the bundled digits")
        if (self.format == "timm") != (self.timm_name is not None):
            raise ValueError("timm_name is for format=timm, which needs it")
        if self.class_names is not None and len(self.class_names) != self.num_classes:
            raise ValueError(f"{len(self.class_names)} class_names for {self.num_classes} classes")
        return self

    def check_network(self, subnet: SubnetConfig) -> None:
        """Refuse a network for other classes or channels; images are resized to its size.

        Raises:
            DataError: naming both.
        """
        own, other = (self.preprocessing.in_chans, self.num_classes), subnet
        if (other.in_chans, other.num_classes) != own:
            raise DataError(
                "data and network differ in (in_chans, num_classes)",
                where="data",
                got=own,
                expected=(other.in_chans, other.num_classes),
            )

    def files(self) -> tuple[Path, ...]:
        """Return the files, or the folder, that the data are read from.

        Raises:
            DataError: one is missing; it says what was looked for, and how to get it.
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
        """Return how picture files of this set become raw images."""
        chans = self.preprocessing.in_chans
        shape = (self.img_size, self.img_size, chans)
        return Pictures(self.preprocessing.read_image, shape, int(self.memory_gib * 2**30))


@dataclass(frozen=True)
class Split:
    """Raw images (B, H, W, C) and class indices (B,)."""

    images: ImageSource
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def digest(self) -> str:
        """Return a digest of images and labels; of images on disk, by their names and sizes."""
        found = hashlib.sha256(self.labels.tobytes())
        images = self.images
        if isinstance(images, LazyImages):
            found.update(images.identity.encode())
            found.update(images.positions.tobytes())
        else:
            found.update(np.ascontiguousarray(images).tobytes())
        return found.hexdigest()

    def take(self, indices: npt.NDArray[np.int64]) -> Split:
        """Return the examples at `indices`."""
        images = self.images
        taken = images.take(indices) if isinstance(images, LazyImages) else images[indices]
        return Split(taken, self.labels[indices])

    def joined(self, other: Split) -> Split:
        """Return this split followed by another of the same kind."""
        labels = np.concatenate([self.labels, other.labels])
        one, two = self.images, other.images
        if isinstance(one, LazyImages) and isinstance(two, LazyImages) and one.read is two.read:
            positions = np.concatenate([one.positions, two.positions])
            return Split(replace(one, positions=positions), labels)
        return Split(np.concatenate([one[:], two[:]]), labels)


@dataclass(frozen=True)
class Dataset:
    """A data set in memory; `steering` is held out of training, `test` is for reports alone."""

    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    train: Split
    steering: Split
    test: Split


def load(config: DataConfig, img_size: int | None = None) -> Dataset:
    """Load a data set and split it.

    Args:
        img_size: of the network, where it differs from the data's; images are resized to it.

    Raises:
        DataError: the data are missing, damaged or not what the configuration says.
    """
    parts = _read(config, img_size or config.img_size)
    config = _at_size(config, img_size or config.img_size)
    whole, test = Split(*parts.train), None if parts.test is None else Split(*parts.test)
    names = config.class_names or parts.class_names
    names = names or tuple(str(number) for number in range(config.num_classes))
    if len(names) != config.num_classes:
        raise DataError(
            "number of classes",
            where="data.num_classes",
            got=config.num_classes,
            expected=f"the {len(names)} of the data",
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
    """Read the whole set, at the network's size."""
    config.files()
    root, sized = Path(config.root or "").expanduser(), _at_size(config, img_size)
    if config.format == "image_folder":
        return readers.read_image_folder(root, config.source, sized.pictures())
    if config.format == "timm":
        return read_timm(str(config.timm_name), config.root, sized.preprocessing, sized.pictures())
    if config.format == "digits":
        parts = readers.read_digits()
    elif config.format == "npz":
        parts = readers.read_npz(root, config.num_classes)
    elif config.format == "idx":
        parts = readers.read_idx(root, config.source)
    else:
        parts = readers.read_cifar10(root, config.source)
    test = None if parts.test is None else _resized(parts.test, config, sized.preprocessing)
    return Parts(_resized(parts.train, config, sized.preprocessing), test, parts.class_names)


def _resized(
    part: tuple[ImageSource, Labels], config: DataConfig, preprocessing: Preprocessing
) -> tuple[ImageSource, Labels]:
    """Check that images have the configured size, and bring them to the network's."""
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
    """Split off `fraction` of every class, at least one example each; return (rest, taken)."""
    rng = stream(seed, "split", name)
    taken = []
    for label in np.unique(split.labels):
        members = rng.permutation(np.flatnonzero(split.labels == label))
        taken.append(members[: max(1, round(fraction * len(members)))])
    chosen = np.sort(np.concatenate(taken))
    rest = np.setdiff1d(np.arange(len(split)), chosen)
    return split.take(rest), split.take(chosen)


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
