"""Reader of CIFAR-10's binary batches, and of its Python batches without trusting them."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from mcuformer.data.images import Images, Parts, Split, check_fits, is_regular_file, missing, reason
from mcuformer.errors import DataError

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
PIXELS = 3 * 32 * 32


def cifar10_files(root: Path, source: str) -> tuple[Path, ...]:
    """Return CIFAR-10's batch files, the test batch last if there is one.

    They are in `root` or in its folder ``cifar-10-batches-bin`` or ``cifar-10-batches-py``, as in
    the published archives.

    Raises:
        DataError: a training batch is missing; the message names the first.
    """
    for folder in ("cifar-10-batches-bin", "cifar-10-batches-py", "."):
        directory = root / folder
        ending = ".bin" if is_regular_file(directory / "data_batch_1.bin") else ""
        if is_regular_file(directory / f"data_batch_1{ending}"):
            train = [directory / f"{name}{ending}" for name in CIFAR10_TRAIN]
            for path in train:
                if not is_regular_file(path):
                    raise missing("a file of the data set", directory, (path.stem,), source)
            test = directory / f"test_batch{ending}"
            return (*train, test) if is_regular_file(test) else tuple(train)
    raise missing("CIFAR-10", root, ("data_batch_1.bin or data_batch_1, to _5",), source)


def read_cifar10(root: Path, source: str, memory_bytes: int) -> Parts:
    """Read CIFAR-10's binary batches, or its Python batches without trusting them.

    Raises:
        DataError: a batch is missing, damaged or too large, or contains more than arrays and bytes.
    """
    files = cifar10_files(root, source)
    check_fits(sum(path.stat().st_size for path in files), memory_bytes, root)
    batches = [
        read_cifar10_binary(path) if path.suffix == ".bin" else read_cifar10_pickle(path)
        for path in files
    ]
    count = len(CIFAR10_TRAIN)
    train = Split(
        np.concatenate([batch.images[:] for batch in batches[:count]]),
        np.concatenate([batch.labels for batch in batches[:count]]),
    )
    return Parts(train, None, batches[count] if len(batches) > count else None, CIFAR10_CLASSES)


def read_cifar10_binary(path: Path) -> Split:
    """Read one binary batch: records of a label byte and 3 x 32 x 32 pixels.

    Raises:
        DataError: the file is damaged.
    """
    try:
        data, record = np.fromfile(path, np.uint8), 1 + PIXELS
    except OSError as error:
        raise DataError(f"not readable: {reason(error)}", where=path) from error
    if len(data) == 0 or len(data) % record:
        raise DataError(
            "damaged CIFAR-10 batch",
            where=path,
            got=f"{len(data)} bytes",
            expected=f"a multiple of {record}",
        )
    rows = data.reshape(-1, record)
    return Split(_planes_last(rows[:, 1:]), rows[:, 0].astype(np.int64))


def read_cifar10_pickle(path: Path) -> Split:
    """Read one Python batch by an unpickler that builds only bytes and plain containers.

    Raises:
        DataError: the file is damaged or contains anything else.
    """
    try:
        batch = _BytesUnpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        rows, labels = batch[b"data"].rows(), batch[b"labels"]
        if not isinstance(labels, list) or any(type(label) is not int for label in labels):
            raise ValueError("labels are not a list of integers")
        if len(rows) != len(labels):
            raise ValueError(f"{len(rows)} images for {len(labels)} labels")
        return Split(_planes_last(rows), np.array(labels, np.int64))
    except Exception as error:  # a damaged pickle raises whatever its opcodes lead to
        raise DataError(f"not a CIFAR-10 Python batch: {reason(error)}", where=path) from error


class _PickledArray:
    """What a pickle says of an array; numpy's own code for pickles, written in C, is not used."""

    def __init__(self, *ignored: object) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def rows(self) -> npt.NDArray[np.uint8]:
        """Return the array (B, 3 * 32 * 32) of bytes.

        Raises:
            ValueError: it is another array.
        """
        _, shape, dtype, fortran, content = self.state
        if dtype.code not in (b"u1", "u1") or fortran or tuple(shape) != (shape[0], PIXELS):
            raise ValueError(f"data of type {dtype.code!r} and shape {shape}")
        return np.frombuffer(content, np.uint8).reshape(shape)


class _PickledType:
    """What a pickle says of the type of an array's elements."""

    def __init__(self, code: object = None, *ignored: object) -> None:
        self.code = code

    def __setstate__(self, state: Any) -> None:
        """Byte order and such: bytes have none."""


def _encode(text: str, encoding: str) -> bytes:
    """Return bytes as Python 3 pickles them under protocol 2: text in Latin-1."""
    if encoding not in ("latin1", "latin-1", b"latin1"):
        raise ValueError(f"text in {encoding!r}")
    return text.encode("latin1")


class _BytesUnpickler(pickle.Unpickler):
    """Takes an array's bytes from a pickle; whatever else it names is refused unread."""

    KNOWN: ClassVar = {
        ("numpy.core.multiarray", "_reconstruct"): _PickledArray,
        ("numpy._core.multiarray", "_reconstruct"): _PickledArray,
        ("numpy", "ndarray"): _PickledArray,
        ("numpy", "dtype"): _PickledType,
        ("_codecs", "encode"): _encode,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.KNOWN:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which arrays do not need")
        return self.KNOWN[module, name]


def _planes_last(rows: npt.NDArray[np.uint8]) -> Images:
    images = rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)  # NCHW -> NHWC
    return np.ascontiguousarray(images)
