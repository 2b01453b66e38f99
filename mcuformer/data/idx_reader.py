"""Reader of idx files, MNIST's format."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from mcuformer.data.images import Images, Parts, Split, check_fits, is_regular_file, missing, reason
from mcuformer.errors import DataError

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
    return tuple(_either(root, name, source) for name in IDX_FILES)


def _either(root: Path, name: str, source: str) -> Path:
    for path in (root / name, root / f"{name}.gz"):
        if is_regular_file(path):
            return path
    raise missing("a file of the data set", root, (f"{name} (or {name}.gz)",), source)


def read_idx(root: Path, source: str, memory_bytes: int) -> Parts:
    """Read MNIST, Fashion-MNIST or another set of the same four idx files.

    Raises:
        DataError: a file is missing, damaged, larger than allowed or of another type.
    """
    arrays = [read_idx_file(path, memory_bytes) for path in idx_files(root, source)]
    parts = []
    for images, labels, name in zip(arrays[::2], arrays[1::2], ("train", "t10k"), strict=True):
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise DataError(
                f"{name} images and labels do not belong together",
                where=root,
                got=f"{images.shape} and {labels.shape}",
            )
        parts.append(Split(images[..., None], labels.astype(np.int64)))
    return Parts(parts[0], None, parts[1], ())


def read_idx_file(path: Path, memory_bytes: int) -> Images:
    """Read one idx file of unsigned bytes (LeCun's format: magic, sizes, data; big-endian).

    No more is decompressed than the header claims.

    Raises:
        DataError: the file is damaged, larger than allowed or holds another type.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _read_array(cast(BinaryIO, file), path, memory_bytes)
    except (OSError, EOFError, struct.error, zlib.error) as error:
        raise DataError(f"damaged idx file: {reason(error)}", where=path) from error


def _read_array(file: BinaryIO, path: Path, memory_bytes: int) -> Images:
    magic, type_code, dims = struct.unpack(">HBB", file.read(4))
    if (magic, type_code) != (0, 8) or dims not in (1, 3):
        raise DataError(
            "damaged idx file",
            where=path,
            got=f"magic {magic}, type {type_code}, {dims} dimensions",
            expected="magic 0, type 8, 1 or 3 dimensions",
        )
    shape = struct.unpack(f">{dims}I", file.read(4 * dims))
    size = math.prod(shape)
    check_fits(size, memory_bytes, path)
    data = file.read(size + 1)
    if len(data) != size:
        got = f"{len(data)} bytes" if len(data) < size else "more bytes"
        raise DataError(
            "damaged idx file", where=path, got=got, expected=f"{size} bytes for {shape}"
        )
    return np.frombuffer(data, np.uint8).reshape(shape)
