"""A cache on disk of decoded pictures, so that no stage of a run decodes a picture twice.

An entry is a folder named after a digest of the pictures' contents and of how they are read. It
holds ``pixels.npy`` (the bytes of all images, one after the other), ``shapes.npy`` (their heights
and widths) and, written last, ``entry.json``. Entries are memory-mapped, so a cached set needs no
memory of its own. Several processes may share a cache: one writes an entry, the others wait for it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from mcuformer.data.images import Images
from mcuformer.errors import ArtifactError
from mcuformer.run.artifact import canonical_json, digest, read_json, write_json
from mcuformer.run.folder import locked
from mcuformer.run.progress import say

PIXELS, SHAPES, ENTRY = "pixels.npy", "shapes.npy", "entry.json"
NAME = re.compile("[0-9a-f]{32}")  # of an entry: nothing else in the folder is touched
ESTIMATE_AFTER = 100  # images from which the size of all is estimated


class DeclinedError(Exception):
    """The images are not stored here; the message says why."""


class Sink:
    """Takes the images of a set, picture by picture, in one or several forms.

    Args:
        files: receive the bytes of each form's images.
        count: number of pictures to come.
        limit_bytes: largest number of bytes.
    """

    def __init__(self, files: Sequence[IO[bytes]], count: int, limit_bytes: int) -> None:
        self.files, self.count, self.limit_bytes = files, count, limit_bytes
        self.shapes: list[list[tuple[int, int]]] = [[] for _ in files]
        self.num_bytes = [0] * len(files)

    def add(self, images: Sequence[Images]) -> None:
        """Write one picture's image (H, W, C) in every form.

        Raises:
            DeclinedError: the images will be, or are, larger than the limit.
        """
        for number, image in enumerate(images):
            self.files[number].write(image.tobytes())
            self.num_bytes[number] += image.nbytes
            self.shapes[number].append((image.shape[0], image.shape[1]))
        done, total = len(self.shapes[0]), sum(self.num_bytes)
        needed = max(total, total * self.count // done if done >= ESTIMATE_AFTER else 0)
        if needed > self.limit_bytes:
            raise DeclinedError(f"all images need about {needed / 2**30:.2g} GiB")


class Stored:
    """Images that can be read in any order.

    Args:
        pixels: their bytes, one image after the other.
        shapes: height and width of each, (B, 2); 0 and 0 for a picture that cannot be read.
        chans: channels of an image.
    """

    def __init__(
        self, pixels: npt.NDArray[np.uint8], shapes: npt.NDArray[np.int64], chans: int
    ) -> None:
        self.pixels, self.shapes, self.chans = pixels, shapes, chans
        self.ends = np.cumsum(shapes.prod(axis=1) * chans)

    @property
    def unreadable(self) -> npt.NDArray[np.int64]:
        """Positions of the pictures that could not be read."""
        return np.flatnonzero(self.shapes[:, 0] == 0)

    def read(self, position: int) -> Images:
        """Return the image at a position, (H, W, C)."""
        end = int(self.ends[position])
        height, width = (int(side) for side in self.shapes[position])
        start = end - height * width * self.chans
        return np.asarray(self.pixels[start:end]).reshape(height, width, self.chans)


Fill = Callable[[Sequence[str], Sink], None]  # writes every picture, in the forms of the given keys


@dataclass
class PictureCache:
    """Decoded pictures on disk.

    Args:
        folder: where the entries are.
        limit_bytes: largest size of all entries; those that were used least recently are removed.
    """

    folder: Path
    limit_bytes: int
    used: dict[str, int] = field(default_factory=dict)

    def store(self, keys: Sequence[str], count: int, chans: int, fill: Fill) -> list[Stored]:
        """Return the entries of `keys`; those that are missing are filled together.

        Args:
            keys: names of the entries.
            count: number of images in each.
            chans: channels of an image.
            fill: writes the missing entries.

        Raises:
            DeclinedError: the cache cannot be written, or its limit is too small.
        """
        found = {key: self._open(key, count, chans) for key in keys}
        absent = [key for key in keys if found[key] is None]
        for key in absent:
            if (self.folder / key / ENTRY).exists():
                say(f"{self.folder / key}: damaged, its pictures are decoded anew")
        if absent:
            try:
                with ExitStack() as locks:
                    for key in sorted(absent):
                        locks.enter_context(locked(self.folder / key, wait=True))
                    found |= {key: self._open(key, count, chans) for key in absent}
                    absent = [key for key in absent if found[key] is None]
                    if absent:
                        self._write(absent, count, chans, fill)
                    found |= {key: self._open(key, count, chans) for key in absent}
            except (OSError, ArtifactError) as error:
                self._clear(absent)
                raise DeclinedError(str(error)) from error
            except BaseException:
                self._clear(absent)
                raise
            self._evict()
        if None in found.values():
            raise DeclinedError(f"{self.folder} does not keep what was written")
        return [entry for key in keys if (entry := found[key]) is not None]

    def _write(self, keys: Sequence[str], count: int, chans: int, fill: Fill) -> None:
        """Write the entries of `keys`, whose locks are held."""
        with ExitStack() as stack:
            files = [stack.enter_context((self.folder / key / PIXELS).open("wb")) for key in keys]
            for file in files:
                _write_header(file, 0)
            sink = Sink(files, count, self.limit_bytes - sum(self.used.values()))
            fill(keys, sink)
            for file, size in zip(files, sink.num_bytes, strict=True):
                _write_header(file, size)
        for key, shapes in zip(keys, sink.shapes, strict=True):
            entry = self.folder / key
            np.save(entry / SHAPES, np.array(shapes, np.int64))
            digests = {name: _digest(entry / name) for name in (PIXELS, SHAPES)}
            write_json(entry / ENTRY, "pictures", {**digests, "chans": chans})

    def _open(self, key: str, count: int, chans: int) -> Stored | None:
        """Return an entry, or None if there is none or it is damaged."""
        entry = self.folder / key
        if not (entry / ENTRY).exists():
            return None
        try:
            content = read_json(entry / ENTRY, "pictures")
            if any(_digest(entry / name) != content[name] for name in (PIXELS, SHAPES)):
                raise ValueError("another digest")
            pixels = np.load(entry / PIXELS, mmap_mode="r", allow_pickle=False)
            shapes = np.load(entry / SHAPES, allow_pickle=False)
            stored = Stored(pixels, shapes, int(content["chans"]))
            if (len(shapes), stored.chans) != (count, chans) or stored.ends[-1] != len(pixels):
                raise ValueError("another number of images")
        except (OSError, ArtifactError, KeyError, ValueError, TypeError):
            return None
        self.used[key] = pixels.nbytes
        with suppress(OSError):  # of a cache that may only be read, nothing is removed either
            os.utime(entry / ENTRY)
        return stored

    def _evict(self) -> None:
        """Remove the entries that were used least recently, until the rest is within the limit.

        What a killed process left has no record and goes first.
        """
        ages = []
        for entry in self.folder.iterdir():
            try:
                if NAME.fullmatch(entry.name) and (entry / PIXELS).exists():
                    size = sum(file.stat().st_size for file in entry.iterdir())
                    record = entry / ENTRY
                    ages.append((record.stat().st_mtime if record.exists() else 0.0, size, entry))
            except OSError:
                continue  # another process removed it
        total = sum(size for _, size, _ in ages)
        for _, size, entry in sorted(ages):
            if total > self.limit_bytes and entry.name not in self.used:
                self._clear([entry.name])
                total -= size

    def _clear(self, keys: Sequence[str]) -> None:
        """Remove entries that no process is writing."""
        for key in keys:
            try:
                with locked(self.folder / key, wait=False):
                    shutil.rmtree(self.folder / key, ignore_errors=True)
            except ArtifactError:
                continue


def cache_key(content: Any) -> str:
    """Return the name of the entry for plain containers that say what it holds."""
    return digest(canonical_json(content).encode())[:32]


def cache_folder(given: str | None) -> Path:
    """Return the folder of the cache: the one given, or ``mcuformer`` in the user's cache."""
    if given is not None:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME", "")
    return Path(base if os.path.isabs(base) else os.path.expanduser("~/.cache"), "mcuformer")


def _write_header(file: IO[bytes], length: int) -> None:
    """Write the header of a one-dimensional ``.npy`` file; numpy leaves room for any length."""
    file.seek(0)
    header = {"descr": "|u1", "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(file, header)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
