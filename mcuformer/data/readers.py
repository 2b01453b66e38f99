"""Readers of data sets in the formats that they are published in; nothing is downloaded.

Each reader returns raw ``uint8`` pixels. Python pickles are read by an unpickler that builds arrays
and bytes and refuses everything else.
"""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mcuformer.errors import DataError

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
CIFAR10_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
PICTURES = {".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".webp"}
TEST_FOLDERS = ("test", "val", "validation")


class ImageSource(Protocol):
    """Images of one shape, in memory or on disk; indexing by a slice or an array gives an array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(B, H, W, C)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any) -> Images: ...


@dataclass(frozen=True)
class LazyImages:
    """Images that are read when they are indexed.

    Args:
        read: reads the image at a position of the source, (H, W, C).
        positions: positions of these images in the source, (B,).
        image_shape: shape of an image, (H, W, C).
        identity: text that stands for the source in digests, which do not read images.
    """

    read: Callable[[int], Images]
    positions: npt.NDArray[np.int64]
    image_shape: tuple[int, int, int]
    identity: str

    @property
    def shape(self) -> tuple[int, ...]:
        """(B, H, W, C)."""
        return (len(self.positions), *self.image_shape)

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: Any) -> Images:
        if isinstance(index, int | np.integer):
            return self.read(int(self.positions[index]))
        return np.stack([self.read(int(position)) for position in self.positions[index]])

    def take(self, indices: npt.NDArray[np.int64]) -> LazyImages:
        """Return the images at `indices`, still unread."""
        return replace(self, positions=self.positions[indices])


@dataclass(frozen=True)
class Parts:
    """A data set as it is published.

    Args:
        train: images and labels of the training part.
        test: those of the test part, or None if the set has no such part.
        class_names: name of each class; empty if the format has none.
    """

    train: tuple[ImageSource, Labels]
    test: tuple[ImageSource, Labels] | None
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class Pictures:
    """How picture files become raw images.

    Args:
        read: reads a file as raw pixels, (H, W, C).
        image_shape: shape of an image, (H, W, C).
        memory_bytes: largest set, in bytes of raw pixels, that is held in memory.
    """

    read: Callable[[Path], Images]
    image_shape: tuple[int, int, int]
    memory_bytes: int

    def source(self, read: Callable[[int], Images], count: int, identity: str) -> ImageSource:
        """Return images as a source, in memory if they fit.

        Args:
            read: reads the image at a position, (H, W, C).
            count: number of images.
            identity: text that stands for the source in digests.
        """
        lazy = LazyImages(read, np.arange(count), self.image_shape, identity)
        size = count * int(np.prod(self.image_shape))
        return lazy[:] if size <= self.memory_bytes else lazy


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


def read_digits() -> Parts:
    """Read scikit-learn's bundled digits: 1,797 images of 8 x 8 pixels from 0 to 16."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = digits.images.astype(np.uint8)[..., None]
    names = tuple(str(name) for name in digits.target_names)
    return Parts((images, digits.target.astype(np.int64)), None, names)


def read_npz(path: Path, num_classes: int) -> Parts:
    """Read arrays ``x_train, y_train, x_test, y_test`` and optionally ``classes``.

    Raises:
        DataError: the file is damaged or the arrays have the wrong form.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: dict[str, npt.NDArray[Any]] = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise DataError(f"not a readable .npz file: {error}", where=path) from error
    absent = {"x_train", "y_train", "x_test", "y_test"} - arrays.keys()
    if absent:
        raise DataError(f"arrays missing: {', '.join(sorted(absent))}", where=path)
    parts = []
    for part in ("train", "test"):
        images, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if images.dtype != np.uint8 or images.ndim not in (3, 4) or len(images) != len(labels):
            raise DataError(
                f"x_{part} has the wrong form",
                where=path,
                got=f"{images.dtype} {images.shape} with {len(labels)} labels",
                expected="uint8 (B, H, W) or (B, H, W, C), one label per image",
            )
        pixels = images[..., None] if images.ndim == 3 else images
        parts.append((pixels, labels.astype(np.int64)))
    names = arrays.get("classes", np.arange(num_classes))
    return Parts(parts[0], parts[1], tuple(str(name) for name in names))


IDX_FILES = tuple(
    f"{part}-{kind}"
    for part in ("train", "t10k")
    for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
)


def idx_files(root: Path, source: str) -> tuple[Path, ...]:
    """Return the four files of an MNIST-like set, gzipped or not.

    Raises:
        DataError: a file is missing; the message names the first.
    """
    return tuple(
        _first(root, (name, f"{name}.gz"), f"{name} (or {name}.gz)", source) for name in IDX_FILES
    )


def read_idx(root: Path, source: str) -> Parts:
    """Read MNIST, Fashion-MNIST or another set of the same four idx files.

    Raises:
        DataError: a file is missing, damaged or of another type.
    """
    arrays = [read_idx_file(path) for path in idx_files(root, source)]
    parts = []
    for images, labels, name in zip(arrays[::2], arrays[1::2], ("train", "t10k"), strict=True):
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise DataError(
                f"{name} images and labels do not belong together",
                where=root,
                got=f"{images.shape} and {labels.shape}",
            )
        parts.append((images[..., None], labels.astype(np.int64)))
    return Parts(parts[0], parts[1], ())


def read_idx_file(path: Path) -> npt.NDArray[np.uint8]:
    """Read one idx file of unsigned bytes (LeCun's format: magic, sizes, data; big-endian).

    Raises:
        DataError: the file is damaged or holds another type.
    """
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
        magic, type_code, dims = struct.unpack_from(">HBB", data)
        shape = struct.unpack_from(f">{dims}I", data, 4)
    except (OSError, EOFError, struct.error, zlib.error) as error:
        raise DataError(f"damaged idx file: {error}", where=path) from error
    start, size = 4 + 4 * dims, int(np.prod(shape))
    if (magic, type_code) != (0, 8) or len(data) != start + size:
        raise DataError(
            "damaged idx file",
            where=path,
            got=f"magic {magic}, type {type_code}, {len(data)} bytes",
            expected=f"magic 0, type 8, {start + size} bytes",
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def cifar10_files(root: Path, source: str) -> tuple[Path, ...]:
    """Return CIFAR-10's batch files, the test batch last if there is one.

    They are in `root` or in its folder ``cifar-10-batches-bin`` or ``cifar-10-batches-py``, as in
    the published archives.

    Raises:
        DataError: a training batch is missing; the message names the first.
    """
    for folder in ("cifar-10-batches-bin", "cifar-10-batches-py", "."):
        directory = root / folder
        ending = ".bin" if (directory / "data_batch_1.bin").is_file() else ""
        if (directory / f"data_batch_1{ending}").is_file():
            train = [
                _first(directory, (f"{name}{ending}",), name, source) for name in CIFAR10_TRAIN
            ]
            test = directory / f"test_batch{ending}"
            return (*train, test) if test.is_file() else tuple(train)
    raise missing("CIFAR-10", root, ("data_batch_1.bin or data_batch_1, to _5",), source)


def read_cifar10(root: Path, source: str) -> Parts:
    """Read CIFAR-10's binary batches, or its Python batches without trusting them.

    Raises:
        DataError: a batch is missing or damaged, or contains more than arrays and bytes.
    """
    files = cifar10_files(root, source)
    batches = [
        read_cifar10_binary(path) if path.suffix == ".bin" else read_cifar10_pickle(path)
        for path in files
    ]
    count = len(CIFAR10_TRAIN)
    train = tuple(np.concatenate(arrays) for arrays in zip(*batches[:count], strict=True))
    test = batches[count] if len(batches) > count else None
    return Parts((train[0], train[1]), test, CIFAR10_CLASSES)


def read_cifar10_binary(path: Path) -> tuple[Images, Labels]:
    """Read one binary batch: records of a label byte and 3 x 32 x 32 pixels.

    Raises:
        DataError: the file is damaged.
    """
    data, record = np.fromfile(path, np.uint8), 1 + 3 * 32 * 32
    if len(data) == 0 or len(data) % record:
        raise DataError(
            "damaged CIFAR-10 batch",
            where=path,
            got=f"{len(data)} bytes",
            expected=f"a multiple of {record}",
        )
    rows = data.reshape(-1, record)
    return _planes_last(rows[:, 1:]), rows[:, 0].astype(np.int64)


def read_cifar10_pickle(path: Path) -> tuple[Images, Labels]:
    """Read one Python batch by an unpickler that builds only arrays and plain containers.

    Raises:
        DataError: the file is damaged or contains anything else.
    """
    try:
        batch = _ArraysUnpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        rows, labels = np.asarray(batch[b"data"]), np.asarray(batch[b"labels"], np.int64)
        if rows.dtype != np.uint8 or rows.shape != (len(labels), 3 * 32 * 32):
            raise ValueError(f"data of {rows.dtype} {rows.shape} for {len(labels)} labels")
    except (pickle.UnpicklingError, ValueError, KeyError, TypeError, EOFError, IndexError) as error:
        raise DataError(f"not a CIFAR-10 Python batch: {error}", where=path) from error
    return _planes_last(rows), labels


class _ArraysUnpickler(pickle.Unpickler):
    """Builds numpy arrays of plain numbers; any other name in a pickle is refused unread."""

    ALLOWED = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which arrays do not need")
        return super().find_class(module, name)


def _planes_last(rows: npt.NDArray[np.uint8]) -> Images:
    images = rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)  # NCHW -> NHWC
    return np.ascontiguousarray(images)


def read_image_folder(root: Path, source: str, pictures: Pictures) -> Parts:
    """Read ``root/train/CLASS/*.jpg`` and ``root/test`` (or val, validation), or ``root/CLASS``.

    Args:
        root: folder of the data.
        source: how to get the data, for the message that they are missing.
        pictures: reader of a picture file.

    Raises:
        DataError: there are no pictures, or the two parts have different classes.
    """
    if not root.is_dir():
        raise missing("the picture folder", root, ("train/CLASS/*.jpg",), source)
    train = root / "train" if (root / "train").is_dir() else root
    names = tuple(sorted(path.name for path in train.iterdir() if path.is_dir()))
    if not names:
        raise missing("class folders", train, ("CLASS/*.jpg",), source)
    test = next((root / name for name in TEST_FOLDERS if (root / name).is_dir()), None)
    if test is None or train == root:
        return Parts(_read_classes(train, names, source, pictures), None, names)
    test_names = tuple(sorted(path.name for path in test.iterdir() if path.is_dir()))
    if test_names != names:
        raise DataError(
            "the parts have different classes", where=test, got=test_names, expected=names
        )
    return Parts(
        _read_classes(train, names, source, pictures),
        _read_classes(test, names, source, pictures),
        names,
    )


def _read_classes(
    folder: Path, names: Sequence[str], source: str, pictures: Pictures
) -> tuple[ImageSource, Labels]:
    """Return the pictures of the class folders `names`, with the folders' numbers as labels."""
    files, labels = [], []
    for label, name in enumerate(names):
        members = [p for p in sorted((folder / name).rglob("*")) if p.suffix.lower() in PICTURES]
        if not members:
            raise missing("pictures", folder / name, sorted(PICTURES), source)
        files += members
        labels += [label] * len(members)
    listing = "\n".join(f"{file.relative_to(folder)}:{file.stat().st_size}" for file in files)
    images = pictures.source(lambda position: pictures.read(files[position]), len(files), listing)
    return images, np.array(labels, np.int64)


def _first(directory: Path, names: Sequence[str], label: str, source: str) -> Path:
    """Return the first of `names` that exists; `label` names them in the error."""
    for name in names:
        if (directory / name).is_file():
            return directory / name
    raise missing("a file of the data set", directory, (label,), source)
