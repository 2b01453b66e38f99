"""Reader of ``.npz`` files; what zip directory and headers claim is checked before it is read."""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mcuformer.data.images import Parts, Split, check_fits, reason
from mcuformer.errors import DataError
from mcuformer.limits import MAX_CLASSES

REQUIRED = ("x_train", "y_train", "x_test", "y_test")
CLASSES = "classes"
LABELS_BYTES = 2**30  # of labels that are read to learn the number of classes
DAMAGE = (OSError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error, struct.error)
Header = tuple[tuple[int, ...], bool, np.dtype[Any]]


def read_npz(path: Path, memory_bytes: int) -> Parts:
    """Read arrays ``x_train, y_train, x_test, y_test`` and optionally ``classes``.

    Images are uint8 (B, H, W) or (B, H, W, C), labels integers (B,), classes text (K,).

    Raises:
        DataError: the file is damaged, larger than allowed, or the arrays have the wrong form.
    """
    arrays = _read(path, memory_bytes, (*REQUIRED, CLASSES))
    parts = []
    for part in ("train", "test"):
        images, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if (
            images.dtype != np.uint8
            or images.ndim not in (3, 4)
            or labels.shape != images.shape[:1]
        ):
            raise DataError(
                f"x_{part} has the wrong form",
                where=path,
                got=f"{images.dtype} {images.shape} with labels {labels.shape}",
                expected="uint8 (B, H, W) or (B, H, W, C), one label per image",
            )
        pixels = images[..., None] if images.ndim == 3 else images
        parts.append(Split(pixels, _labels(labels, f"y_{part}", path)))
    return Parts(parts[0], None, parts[1], _names(arrays.get(CLASSES), path))


def npz_form(path: Path) -> tuple[int, int]:
    """Return the number of classes and the side of the images, without reading any image.

    Raises:
        DataError: the file is damaged, or its images are not square.
    """
    with _opened(path) as archive:
        shape = _header(archive, "x_train", path)[0]
    if len(shape) not in (3, 4) or shape[1] != shape[2]:
        raise DataError(
            "x_train has the wrong form", where=path, got=shape, expected="square images"
        )
    arrays = _read(path, LABELS_BYTES, ("y_train", CLASSES))
    names = _names(arrays.get(CLASSES), path)
    labels = _labels(arrays["y_train"], "y_train", path)
    return len(names) or int(labels.max(initial=0)) + 1, shape[1]


def _labels(labels: npt.NDArray[Any], name: str, path: Path) -> npt.NDArray[np.int64]:
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise DataError(
            f"{name} has the wrong form",
            where=path,
            got=f"{labels.dtype} {labels.shape}",
            expected="integers (B,)",
        )
    if len(labels) and int(labels.max()) >= MAX_CLASSES:
        raise DataError(
            "label out of range", where=path, got=labels.max(), expected=f"below {MAX_CLASSES}"
        )
    return labels.astype(np.int64)


def _names(classes: npt.NDArray[Any] | None, path: Path) -> tuple[str, ...]:
    if classes is None:
        return ()
    if classes.dtype.kind not in "US" or classes.ndim != 1:
        raise DataError(
            "classes has the wrong form",
            where=path,
            got=f"{classes.dtype} {classes.shape}",
            expected="text (K,)",
        )
    try:
        return tuple(str(name) for name in classes.astype(str))
    except UnicodeDecodeError as error:
        raise DataError("classes are not ASCII text", where=path) from error


def _read(path: Path, memory_bytes: int, names: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of `names`; only :data:`CLASSES` may be missing."""
    with _opened(path) as archive:
        present = [name for name in names if f"{name}.npy" in archive.namelist()]
        absent = set(names) - set(present) - {CLASSES}
        if absent:
            raise DataError(f"arrays missing: {', '.join(sorted(absent))}", where=path)
        headers = {name: _header(archive, name, path) for name in present}
        sizes = {n: math.prod(shape) * dtype.itemsize for n, (shape, _, dtype) in headers.items()}
        check_fits(sum(sizes.values()), memory_bytes, path)
        return {name: _array(archive, name, sizes[name], path) for name in present}


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (*DAMAGE, ValueError, NotImplementedError) as error:
        raise _damaged(path, error) from error


def _header(archive: zipfile.ZipFile, name: str, path: Path) -> Header:
    """Return shape, Fortran order and type of an array; its bytes must be what the zip says."""
    formats = np.lib.format
    try:
        member = archive.getinfo(f"{name}.npy")
        with archive.open(member) as file:
            version = formats.read_magic(file)
            if version != (1, 0):
                raise ValueError(f"format {version} of .npy")
            shape, fortran, dtype = formats.read_array_header_1_0(file)
            size, held = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
    except (*DAMAGE, ValueError, TypeError, SyntaxError, MemoryError) as error:
        raise _damaged(path, error) from error
    if dtype.hasobject:
        raise DataError(f"{name} holds Python objects, which are never loaded", where=path)
    if size != held or min(shape, default=0) < 0:
        raise DataError(
            f"{name} does not have the size that its header claims",
            where=path,
            got=f"{held} bytes",
            expected=f"{size} for {dtype} {shape}",
        )
    return shape, fortran, dtype


def _array(archive: zipfile.ZipFile, name: str, size: int, path: Path) -> npt.NDArray[Any]:
    shape, fortran, dtype = _header(archive, name, path)
    try:
        with archive.open(f"{name}.npy") as file:
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
            content = file.read(size)
            file.read(1)  # at its end a member's checksum is compared
    except (*DAMAGE, ValueError, MemoryError) as error:
        raise _damaged(path, error) from error
    if len(content) != size:
        raise DataError("not a readable .npz file: it is cut off", where=path)
    flat = np.frombuffer(content, dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"not a readable .npz file: {reason(error)}", where=path)
