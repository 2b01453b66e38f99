"""Data sets, their splits and class names, as numpy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, assert_never

import numpy as np
from pydantic import Field, model_validator

from mcuformer.data import cifar10_reader, idx_reader, npz_reader
from mcuformer.data.cache import PictureCache, cache_folder
from mcuformer.data.division import Division, check_labels, divide
from mcuformer.data.folder_reader import list_picture_folder, skipped_line
from mcuformer.data.images import (
    Parts,
    Split,
    check_class_names,
    is_folder,
    is_regular_file,
    missing,
)
from mcuformer.data.infer import infer
from mcuformer.data.picture_source import PictureParts, PictureReader
from mcuformer.data.preprocessing import Preprocessing
from mcuformer.data.timm_reader import read_timm
from mcuformer.errors import DataError
from mcuformer.limits import MAX_CLASSES, ImgSize, NameText, PathText, Seed
from mcuformer.run.progress import say
from mcuformer.subnet import SubnetConfig
from mcuformer.value import Value

GIB = 2**30
MAX_GIB = 1024.0
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
        img_size: side of the square images in pixels; where a configuration has null, the files of
            ``npz`` and ``image_folder`` tell it (:meth:`inferred`).
        num_classes: number of classes; null likewise.
        class_names: name of each class, for a format that has none; null takes their numbers.
        preprocessing: how pictures become raw pixels, and raw pixels the network's input.
        steering_fraction: share of the training part that is held out to steer searches.
        test_fraction: share of the training part that is held out for tests, if the set has no
            test part of its own.
        split_seed: seed of the splits, independent of the run's seed.
        on_error: whether a picture that cannot be read ends the command (``stop``), or is left out
            and counted (``skip``).
        memory_gib: largest size of images in memory, in GiB of raw pixels. Larger arrays are
            refused; pictures that are neither in the cache nor in memory are decoded at every use.
        cache_gib: largest size of the cache of decoded pictures, in GiB; 0 is off.
        cache_dir: folder of that cache; null is ``mcuformer`` in the user's cache folder.
    """

    name: NameText
    format: Literal["digits", "npz", "idx", "cifar10", "image_folder", "timm"]
    root: PathText | None = None
    timm_name: str | None = None
    source: str = ""
    img_size: ImgSize
    num_classes: Annotated[int, Field(ge=2, le=MAX_CLASSES)]
    class_names: tuple[str, ...] | None = None
    preprocessing: Preprocessing
    steering_fraction: Fraction = 0.2
    test_fraction: Fraction = 0.2
    split_seed: Seed = 0
    on_error: Literal["skip", "stop"] = "stop"
    memory_gib: Annotated[float, Field(gt=0.0, le=MAX_GIB)] = 2.0
    cache_gib: Annotated[float, Field(ge=0.0, le=MAX_GIB)] = 2.0
    cache_dir: PathText | None = None

    without_effect: ClassVar[tuple[str, ...]] = ("memory_gib", "cache_gib", "cache_dir")
    inferable: ClassVar[tuple[str, ...]] = ("img_size", "num_classes")

    @classmethod
    def inferred(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return `num_classes` and `img_size`, as :func:`mcuformer.data.infer.infer` does."""
        return infer(content)

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

    @property
    def path(self) -> Path:
        """The file or folder `root`."""
        return Path(self.root or "")

    def files(self) -> tuple[Path, ...]:
        """Return the files, or the folder, that the data are read from.

        Raises:
            DataError: one is missing; the message says what was expected and how to get it.
        """
        if self.root is None:
            return ()
        path = self.path
        if self.format == "idx":
            return idx_reader.idx_files(path, self.source)
        if self.format == "cifar10":
            return cifar10_reader.cifar10_files(path, self.source)
        kind = "a .npz file" if self.format == "npz" else "a folder"
        if not (is_regular_file(path) if self.format == "npz" else is_folder(path)):
            raise missing(f"{kind} of the data", path, (kind,), self.source)
        return (path,)

    def picture_reader(self) -> PictureReader:
        """Return the reader of this set's pictures."""
        cache = PictureCache(cache_folder(self.cache_dir), int(self.cache_gib * GIB))
        return PictureReader(
            self.preprocessing,
            cache if self.cache_gib else None,
            int(self.memory_gib * GIB),
            self.on_error,
        )

    def at_size(self, img_size: int) -> DataConfig:
        """Return this configuration with images of another size."""
        preprocessing = self.preprocessing.resized_to(img_size)
        return self.model_copy(update={"img_size": img_size, "preprocessing": preprocessing})

    def survey(self) -> Survey:
        """Return what the data set holds, without decoding pictures.

        Raises:
            DataError: the data are missing, damaged or not as configured, as far as names and
                labels tell.
        """
        parts = _published(self)
        if isinstance(parts, Parts):
            parts = _resized(parts, self, self.preprocessing)
        names, division = _divided(self, parts)
        return Survey(
            names,
            len(division.train),
            len(division.steering if parts.validation is None else parts.validation.labels),
            len(division.test if parts.test is None else parts.test.labels),
            parts.test is not None,
            dict(parts.skipped) if isinstance(parts, PictureParts) else {},
        )


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

    def without_steering(self) -> Dataset:
        """Return this data set with an empty steering split, to train on the training split."""
        return replace(self, steering=self.steering.take(np.arange(0)))


@dataclass(frozen=True)
class Survey:
    """What a data set holds, found without decoding pictures.

    Args:
        class_names: name of each class.
        train: number of training images.
        steering: number of images that steer searches.
        test: number of test images.
        published_test: whether the set has a test part of its own.
        skipped: number of files and folders that are not pictures, by kind.
    """

    class_names: tuple[str, ...]
    train: int
    steering: int
    test: int
    published_test: bool
    skipped: dict[str, int]


def load(config: DataConfig, img_size: int | None = None, *, crops: bool = False) -> Dataset:
    """Load a data set and split it.

    Args:
        config: data set.
        img_size: side that images are resized to, the network's; None keeps the data's.
        crops: whether random crops will be cut from the training pictures.

    Raises:
        DataError: the data are missing, damaged or not as configured.
    """
    sized = config.at_size(img_size or config.img_size)
    published = _published(config)
    names, division = _divided(config, published)
    if isinstance(published, PictureParts):
        if line := skipped_line(published.skipped):
            say(line)
        parts = sized.picture_reader().read(published, crops=crops)
        names, division = _divided(config, parts)  # some pictures may have been left out
    else:
        parts = _resized(published, config, sized.preprocessing)
    steering = parts.validation or parts.train.take(division.steering)
    test = parts.test or parts.train.take(division.test)
    train = parts.train.take(division.train)
    for part in (train, steering, test):
        _check_pixels(part, config)
    return Dataset(names, sized.preprocessing, train, steering, test)


def _published(config: DataConfig) -> Parts | PictureParts:
    """Return the set as it is published: arrays, or pictures that are not decoded yet."""
    config.files()
    root, memory_bytes = config.path, int(config.memory_gib * GIB)
    match config.format:
        case "image_folder":
            return list_picture_folder(root, config.source).parts()
        case "timm":
            return read_timm(str(config.timm_name), str(root))
        case "digits":
            return read_digits()
        case "npz":
            return npz_reader.read_npz(root, memory_bytes)
        case "idx":
            return idx_reader.read_idx(root, config.source, memory_bytes)
        case "cifar10":
            return cifar10_reader.read_cifar10(root, config.source, memory_bytes)
        case _:
            assert_never(config.format)


def read_digits() -> Parts:
    """Read scikit-learn's bundled digits: 1,797 images of 8 x 8 pixels from 0 to 16."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = digits.images.astype(np.uint8)[..., None]
    names = tuple(str(name) for name in digits.target_names)
    return Parts(Split(images, digits.target.astype(np.int64)), None, None, names)


def _resized(parts: Parts, config: DataConfig, preprocessing: Preprocessing) -> Parts:
    """Check that the images have the configured size, and resize them to the network's."""

    def resized(split: Split) -> Split:
        shape = split.images.shape[1:]
        expected = (config.img_size, config.img_size, preprocessing.in_chans)
        if shape != expected:
            raise DataError("images of another size", where="data", got=shape, expected=expected)
        if preprocessing.img_size == config.img_size or len(split) == 0:
            return split
        images = [preprocessing.resized(image) for image in split.images[:]]
        return Split(np.stack(images), split.labels)

    test = None if parts.test is None else resized(parts.test)
    return Parts(resized(parts.train), None, test, parts.class_names)


def _divided(config: DataConfig, parts: Parts | PictureParts) -> tuple[tuple[str, ...], Division]:
    """Return the class names and the division of the training part.

    Raises:
        DataError: names or labels are not as configured, or a class has too few images.
    """
    names = config.class_names or parts.class_names
    names = names or tuple(str(number) for number in range(config.num_classes))
    if len(names) != config.num_classes:
        raise DataError(
            "wrong number of classes",
            where="data.num_classes",
            got=config.num_classes,
            expected=f"{len(names)}, as in the data",
        )
    check_class_names(names, "data")
    own = {"validation": parts.validation, "test": parts.test}
    check_labels(parts.train.labels, names, "training", 1 + list(own.values()).count(None))
    for name, part in own.items():
        if part is not None:
            check_labels(part.labels, names, name, 1)
    division = divide(
        parts.train.labels,
        config.steering_fraction if parts.validation is None else None,
        config.test_fraction if parts.test is None else None,
        config.split_seed,
    )
    return names, division


def _check_pixels(split: Split, config: DataConfig) -> None:
    if isinstance(split.images, np.ndarray):
        largest = int(split.images.max())
        if largest > config.preprocessing.value_max:
            raise DataError(
                "pixel beyond value_max",
                where="data.preprocessing.value_max",
                got=largest,
                expected=f"at most {config.preprocessing.value_max}",
            )
