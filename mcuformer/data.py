"""Data sets, their splits, class names and preprocessing, as numpy arrays.

Training, calibration and the firmware see the same pixels: every image is ``uint8`` of shape
(H, W, C), from 0 to `value_max`, and :meth:`Preprocessing.normalize` is the one place where it
becomes a float. The firmware takes the raw pixels; normalisation is folded into its first layer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from mcuformer import formats
from mcuformer.errors import DataError
from mcuformer.formats import Images, ImageSource, Labels, LazyImages, Parts, Pictures
from mcuformer.seed import stream
from mcuformer.subnet import PositiveInt, SubnetConfig
from mcuformer.value import Value

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

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
        crop: a picture that is no square is stretched, or its centre cut out.
    """

    img_size: PositiveInt
    channel_order: Literal["L", "RGB"]
    value_max: Annotated[int, Field(ge=1, le=255)] = 255
    mean: tuple[float, ...]
    std: tuple[Annotated[float, Field(gt=0.0)], ...]
    resize: Literal["bilinear", "bicubic", "box"] = "bilinear"
    crop: Literal["stretch", "center"] = "stretch"

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
                return self.read_picture(picture)
        except FileNotFoundError as error:
            raise DataError("no such image", where=path) from error
        except (UnidentifiedImageError, OSError) as error:
            raise DataError(f"not a readable image: {error}", where=path) from error

    def read_picture(self, picture: Picture) -> Images:
        """Return an opened picture as raw pixels (H, W, C) of the network's size."""
        pixels = np.asarray(picture.convert(self.channel_order), dtype=np.float64)
        raw = np.floor(pixels * (self.value_max / 255.0) + 0.5).astype(np.uint8)
        return self.resized(raw.reshape(*raw.shape[:2], self.in_chans))

    def to_picture(self, image: Images) -> Picture:
        """Return a raw image (H, W, C) as an RGB picture, the inverse of :meth:`read_picture`."""
        from PIL import Image

        pixels = np.floor(image * (255.0 / self.value_max) + 0.5).astype(np.uint8)
        return Image.fromarray(pixels[..., 0] if self.in_chans == 1 else pixels).convert("RGB")

    def resized(self, image: Images) -> Images:
        """Return a raw image (H, W, C) at the network's size."""
        if image.shape[:2] == (self.img_size, self.img_size):
            return image
        from PIL import Image

        if self.crop == "center":
            side = min(image.shape[:2])
            top, left = ((length - side) // 2 for length in image.shape[:2])
            image = image[top : top + side, left : left + side]
        size, method = (self.img_size, self.img_size), Image.Resampling[self.resize.upper()]
        planes = [
            np.asarray(Image.fromarray(image[..., c]).resize(size, method))
            for c in range(image.shape[-1])
        ]
        return np.stack(planes, axis=-1)


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
            return formats.idx_files(path, self.source)
        if self.format == "cifar10":
            return formats.cifar10_files(path, self.source)
        kind = "a .npz file" if self.format == "npz" else "a folder"
        if not (path.is_file() if self.format == "npz" else path.is_dir()):
            raise formats.missing(f"{kind} of the data", path, (kind,), self.source)
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


Reader = Callable[[DataConfig], Parts]


def load(
    config: DataConfig, img_size: int | None = None, readers: Mapping[str, Reader] | None = None
) -> Dataset:
    """Load a data set and split it.

    Args:
        img_size: of the network, where it differs from the data's; images are resized to it.
        readers: of further formats (``timm``), by name.

    Raises:
        DataError: the data are missing, damaged or not what the configuration says.
    """
    parts = _read(config, img_size or config.img_size, readers or {})
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


def _read(config: DataConfig, img_size: int, readers: Mapping[str, Reader]) -> Parts:
    """Read the whole set, at the network's size."""
    config.files()
    root, sized = Path(config.root or "").expanduser(), _at_size(config, img_size)
    if config.format == "image_folder":
        return formats.read_image_folder(root, config.source, sized.pictures())
    if config.format in readers:
        return readers[config.format](sized)
    if config.format == "digits":
        parts = formats.read_digits()
    elif config.format == "npz":
        parts = formats.read_npz(root, config.num_classes)
    elif config.format == "idx":
        parts = formats.read_idx(root, config.source)
    elif config.format == "cifar10":
        parts = formats.read_cifar10(root, config.source)
    else:
        raise DataError("this command has no reader of it", where="data.format", got=config.format)
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
