"""Data sets, their splits, class names and preprocessing, as numpy arrays.

Training, calibration and the firmware see the same pixels: every image is ``uint8`` of shape
(H, W, C), from 0 to `value_max`, and :meth:`Preprocessing.normalize` is the one place where it
becomes a float. The firmware takes the raw pixels; normalisation is folded into its first layer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from mcuformer.errors import DataError
from mcuformer.seed import stream
from mcuformer.subnet import PositiveInt, SubnetConfig
from mcuformer.value import Value

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]


class Preprocessing(Value):
    """How a picture becomes the network's input; carried to the manifest and the C header.

    Args:
        img_size: side of the square image in pixels.
        channel_order: ``L`` (grey) or ``RGB``.
        value_max: largest raw pixel value; the smallest is 0.
        mean, std: per channel, of pixels scaled to [0, 1].
        resize: interpolation used to reach `img_size`.
    """

    img_size: PositiveInt
    channel_order: Literal["L", "RGB"]
    value_max: Annotated[int, Field(ge=1, le=255)] = 255
    mean: tuple[float, ...]
    std: tuple[Annotated[float, Field(gt=0.0)], ...]
    resize: Literal["bilinear", "bicubic", "box"] = "bilinear"

    @model_validator(mode="after")
    def _check(self) -> Preprocessing:
        for name in ("mean", "std"):
            if len(getattr(self, name)) != self.in_chans:
                raise ValueError(f"{name} needs {self.in_chans} values for {self.channel_order}")
        return self

    @property
    def in_chans(self) -> int:
        """Channels of an image."""
        return len(self.channel_order)

    @property
    def pad_value(self) -> tuple[int, ...]:
        """Raw pixel of each channel nearest to the normalised zero; padding is made of it."""
        return tuple(
            int(np.clip(np.floor(mean * self.value_max + 0.5), 0, self.value_max))
            for mean in self.mean
        )

    def normalize(self, images: Images) -> Floats:
        """Return ``(pixel / value_max - mean) / std``.

        Args:
            images: raw pixels, (..., H, W, C).
        """
        scaled = images.astype(np.float32) / np.float32(self.value_max)
        mean, std = (np.array(values, dtype=np.float32) for values in (self.mean, self.std))
        return (scaled - mean) / std

    def read_image(self, path: Path) -> Images:
        """Read a picture file as raw pixels (H, W, C) of the network's size.

        Raises:
            DataError: the file is missing or no picture.
        """
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(path) as picture:
                converted = picture.convert(self.channel_order)
        except FileNotFoundError as error:
            raise DataError("no such image", where=path) from error
        except (UnidentifiedImageError, OSError) as error:
            raise DataError(f"not a readable image: {error}", where=path) from error
        pixels = np.asarray(converted, dtype=np.float64)
        raw = np.floor(pixels * (self.value_max / 255.0) + 0.5).astype(np.uint8)
        return self.resized(raw.reshape(*raw.shape[:2], self.in_chans))

    def resized(self, image: Images) -> Images:
        """Return a raw image (H, W, C) at the network's size."""
        if image.shape[:2] == (self.img_size, self.img_size):
            return image
        from PIL import Image

        size, method = (self.img_size, self.img_size), Image.Resampling[self.resize.upper()]
        planes = [
            np.asarray(Image.fromarray(image[..., c]).resize(size, method))
            for c in range(image.shape[-1])
        ]
        return np.stack(planes, axis=-1)


class DataConfig(Value):
    """A data set: where it comes from, what its images are, and how it is split.

    Args:
        name: ``digits`` (bundled with scikit-learn) or ``npz`` (a file at `root` with uint8 arrays
            ``x_train, y_train, x_test, y_test`` and optionally ``classes``; images (B, H, W[, C])).
        steering_fraction: share of the training part held out to steer searches.
        test_fraction: share of a set without a test part of its own that becomes one.
        split_seed: fixes the splits, independently of the run's seed.
    """

    name: Literal["digits", "npz"]
    root: str | None = None
    img_size: PositiveInt
    num_classes: Annotated[int, Field(ge=2)]
    preprocessing: Preprocessing
    steering_fraction: Fraction = 0.2
    test_fraction: Fraction = 0.2
    split_seed: int = 0

    @model_validator(mode="after")
    def _check(self) -> DataConfig:
        if self.preprocessing.img_size != self.img_size:
            raise ValueError(
                f"preprocessing.img_size {self.preprocessing.img_size} differs from img_size "
                f"{self.img_size}"
            )
        if (self.name == "npz") != (self.root is not None):
            raise ValueError("root names the .npz file, and is null for the bundled digits")
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
        """Return the files the data are read from.

        Raises:
            DataError: one is missing.
        """
        if self.root is None:
            return ()
        path = Path(self.root)
        if not path.is_file():
            raise DataError("no such file", where="data.root", got=path, expected="a .npz file")
        return (path,)


@dataclass(frozen=True)
class Split:
    """Raw images (B, H, W, C) and class indices (B,)."""

    images: Images
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def digest(self) -> str:
        """Return a digest of images and labels."""
        found = hashlib.sha256(self.images.tobytes())
        found.update(self.labels.tobytes())
        return found.hexdigest()

    def take(self, indices: npt.NDArray[np.int64]) -> Split:
        """Return the examples at `indices`."""
        return Split(self.images[indices], self.labels[indices])

    def joined(self, other: Split) -> Split:
        """Return this split followed by another."""
        return Split(
            np.concatenate([self.images, other.images]), np.concatenate([self.labels, other.labels])
        )


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
    whole, test, class_names = _READERS[config.name](config)
    if test is None:
        whole, test = _stratified(whole, config.test_fraction, config.split_seed, "test")
    train, steering = _stratified(whole, config.steering_fraction, config.split_seed, "steering")
    for part in (train, test):
        _check_split(part, config)
    preprocessing = config.preprocessing
    if img_size is not None and img_size != config.img_size:
        preprocessing = preprocessing.model_copy(update={"img_size": img_size})
        train, steering, test = (_resized(part, preprocessing) for part in (train, steering, test))
    return Dataset(class_names, preprocessing, train, steering, test)


def _resized(split: Split, preprocessing: Preprocessing) -> Split:
    return Split(np.stack([preprocessing.resized(image) for image in split.images]), split.labels)


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
    size, chans = config.img_size, config.preprocessing.in_chans
    if split.images.shape[1:] != (size, size, chans):
        raise DataError(
            "images of another size",
            where="data",
            got=split.images.shape[1:],
            expected=(size, size, chans),
        )
    if len(split) == 0:
        raise DataError("a part of the data set is empty", where="data")
    if split.labels.min() < 0 or split.labels.max() >= config.num_classes:
        raise DataError(
            "label out of range",
            where="data",
            got=f"{split.labels.min()} to {split.labels.max()}",
            expected=f"0 to {config.num_classes - 1}",
        )
    if split.images.max() > config.preprocessing.value_max:
        raise DataError(
            "pixel beyond value_max",
            where="data.preprocessing.value_max",
            got=int(split.images.max()),
            expected=f"at most {config.preprocessing.value_max}",
        )


def _read_digits(config: DataConfig) -> tuple[Split, None, tuple[str, ...]]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = digits.images.astype(np.uint8)[..., None]
    labels = digits.target.astype(np.int64)
    return Split(images, labels), None, tuple(str(name) for name in digits.target_names)


def _read_npz(config: DataConfig) -> tuple[Split, Split, tuple[str, ...]]:
    (path,) = config.files()
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: dict[str, npt.NDArray[Any]] = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise DataError(f"not a readable .npz file: {error}", where=path) from error
    missing = {"x_train", "y_train", "x_test", "y_test"} - arrays.keys()
    if missing:
        raise DataError(f"arrays missing: {', '.join(sorted(missing))}", where=path)
    parts = []
    for part in ("train", "test"):
        images, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if images.dtype != np.uint8 or images.ndim not in (3, 4) or len(images) != len(labels):
            raise DataError(
                f"x_{part} has the wrong form",
                where=path,
                got=f"{images.dtype} {images.shape} with {len(labels)} labels",
                expected="uint8 (B, H, W) or (B, H, W, C), one label an image",
            )
        pixels = images[..., None] if images.ndim == 3 else images
        parts.append(Split(pixels, labels.astype(np.int64)))
    names = arrays.get("classes", np.arange(config.num_classes))
    if len(names) != config.num_classes:
        raise DataError(
            "number of class names", where=path, got=len(names), expected=config.num_classes
        )
    return parts[0], parts[1], tuple(str(name) for name in names)


_READERS: dict[str, Callable[[DataConfig], tuple[Split, Split | None, tuple[str, ...]]]] = {
    "digits": _read_digits,
    "npz": _read_npz,
}
