"""Reader of picture folders: which files belong to which part and class, without decoding any."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcuformer.data.decode import SUFFIXES, read_picture_file, read_picture_size
from mcuformer.data.images import Labels, check_class_names, is_folder, is_regular_file, missing
from mcuformer.data.picture_source import PicturePart, PictureParts
from mcuformer.errors import DataError, did_you_mean

TRAIN = ("train", "training")
VALIDATION = ("val", "valid", "validation")
TEST = ("test", "testing")
JUNK = ("__macosx", "thumbs.db", "desktop.ini")
CONVERTIBLE = (".avif", ".gif", ".heic", ".heif", ".jp2", ".jxl", ".tif", ".tiff")
SIZE_SAMPLES, SIZE_STEP, SIZE_RANGE = 100, 32, (32, 96)  # see picture_side


@dataclass(frozen=True)
class FolderPart:
    """The pictures of one part.

    Args:
        folder: the folder with the class folders.
        files: picture files.
        labels: class number of each.
    """

    folder: Path
    files: tuple[Path, ...]
    labels: Labels

    def pictures(self) -> PicturePart:
        """Return the part for :mod:`picture_source`."""
        return PicturePart(
            self.labels,
            lambda position: read_picture_file(self.files[position]),
            self._identity,
        )

    def _identity(self) -> str:
        """Return the digest of the files' names inside the folder and of their contents."""
        result = hashlib.sha256()
        for path in self.files:
            result.update(os.fsencode(path.relative_to(self.folder)) + b"\0")
            try:
                with path.open("rb") as file:
                    result.update(hashlib.file_digest(file, "sha256").digest())
            except OSError as error:
                raise DataError(f"not readable: {error}", where=path) from error
        return result.hexdigest()


@dataclass(frozen=True)
class PictureFolder:
    """A picture folder, listed.

    Args:
        class_names: names of the class folders.
        train: the training part.
        validation: the validation part, where there is a test part as well.
        test: the test part.
        skipped: number of files and folders that are not pictures, by kind.
    """

    class_names: tuple[str, ...]
    train: FolderPart
    validation: FolderPart | None
    test: FolderPart | None
    skipped: Counter[str]

    def parts(self) -> PictureParts:
        """Return the parts for :mod:`picture_source`."""
        validation, test = (
            None if part is None else part.pictures() for part in (self.validation, self.test)
        )
        return PictureParts(self.train.pictures(), validation, test, self.class_names, self.skipped)

    def picture_side(self) -> int:
        """Return the image size that suits the pictures, from the headers of up to 100 of them.

        It is the median of their short sides, rounded down to a multiple of 32, from 32 to 96.

        Raises:
            DataError: none of them is readable.
        """
        files = self.train.files
        chosen = [files[i] for i in np.linspace(0, len(files) - 1, SIZE_SAMPLES).astype(int)]
        sides, fault = [], None
        for path in dict.fromkeys(chosen):
            try:
                sides.append(min(read_picture_size(path)))
            except DataError as error:
                fault = error
        if not sides and fault is not None:
            raise fault
        rounded = int(np.median(sides)) // SIZE_STEP * SIZE_STEP
        return min(max(rounded, SIZE_RANGE[0]), SIZE_RANGE[1])


def list_picture_folder(root: Path, source: str) -> PictureFolder:
    """List ``root/train/CLASS/*.jpg`` with ``root/val`` and ``root/test``, or ``root/CLASS/*.jpg``.

    Parts are recognised in any case, by the names of :data:`TRAIN`, :data:`VALIDATION` and
    :data:`TEST`. A validation part without a test part is the test part. Links to folders are
    followed only where they are a class.

    Args:
        root: folder of the data.
        source: how to get the data, for the message that they are missing.

    Raises:
        DataError: there are no pictures, or fewer than two classes; parts have different classes.
    """
    skipped: Counter[str] = Counter()
    folders = _folders(root, skipped)
    train, validation, test = (_part_folder(folders, n, root) for n in (TRAIN, VALIDATION, TEST))
    if train is None and (stray := validation or test):
        raise DataError(
            "a part without a training part", where=root, got=stray.name, expected="train"
        )
    if train is None:
        train = root
    else:
        known = {train, validation, test}
        for folder in folders:
            if folder not in known:
                skipped[_kind(folder)] += 1
    if test is None:
        validation, test = None, validation
    classes = folders if train == root else _folders(train, skipped)
    names = _class_names(classes, train, source)
    validation_part, test_part = (
        None if folder is None else _same_classes(folder, names, skipped)
        for folder in (validation, test)
    )
    train_part = _list_part(train, names, skipped)
    return PictureFolder(names, train_part, validation_part, test_part, skipped)


def skipped_line(skipped: Mapping[str, int]) -> str:
    """Return one line that counts what was skipped, or an empty string."""
    if not skipped:
        return ""
    text = ", ".join(f"{count} {kind}" for kind, count in sorted(skipped.items()))
    convertible = [kind for kind in skipped if kind in CONVERTIBLE]
    hint = f"; `magick mogrify -format jpg *{convertible[0]}` converts" if convertible else ""
    return f"data: skipped {text}{hint}"


def _kind(path: Path) -> str:
    """Return a word for what is not a picture."""
    if _is_junk(path):
        return "hidden"
    if is_folder(path):
        return "other folders"
    suffix = path.suffix.lower()
    return suffix if suffix in CONVERTIBLE else "other files"


def _is_junk(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in JUNK


def _folders(folder: Path, skipped: Counter[str]) -> list[Path]:
    """Return the folders in a folder, sorted by name; all else in it is skipped."""
    found = []
    for path in _entries(folder):
        if is_folder(path) and not _is_junk(path):
            found.append(path)
        else:
            skipped[_kind(path)] += 1
    return found


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"not a readable folder: {error.strerror}", where=folder) from error


def _part_folder(folders: Iterable[Path], names: Sequence[str], root: Path) -> Path | None:
    found = [folder for folder in folders if folder.name.lower() in names]
    if len(found) > 1:
        raise DataError(
            "two folders of one part", where=root, got=" and ".join(path.name for path in found)
        )
    return found[0] if found else None


def _class_names(folders: Sequence[Path], train: Path, source: str) -> tuple[str, ...]:
    if not folders:
        raise missing("class folders", train, ("CLASS/*.jpg",), source)
    names = tuple(folder.name for folder in folders)
    check_class_names(names, train)
    for folder in folders:
        if train.resolve().is_relative_to(folder.resolve()):
            raise DataError("a class folder is a link to a folder above it", where=folder)
    return names


def _same_classes(folder: Path, names: Sequence[str], skipped: Counter[str]) -> FolderPart:
    """Return a part whose classes must be those of the training part."""
    own = [path.name for path in _folders(folder, skipped)]
    for name in sorted(set(own) ^ set(names)):
        fault = "not in the training part" if name in own else "missing in this part"
        near = did_you_mean(name, names if name in own else own)
        raise DataError(f"the parts have different classes: {name} is {fault}{near}", where=folder)
    return _list_part(folder, names, skipped)


def _list_part(folder: Path, names: Sequence[str], skipped: Counter[str]) -> FolderPart:
    """Return the pictures of the class folders `names`, with the folders' numbers as labels."""
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        members = sorted(_pictures_below(folder / name, skipped))
        if not members:
            line = skipped_line(skipped).removeprefix("data: ")
            raise DataError(
                f"no pictures in this class folder{line and '; '}{line}",
                where=folder / name,
                expected=", ".join(SUFFIXES),
            )
        files += members
        labels += [label] * len(members)
    return FolderPart(folder, tuple(files), np.array(labels, np.int64))


def _pictures_below(folder: Path, skipped: Counter[str]) -> Iterator[Path]:
    """Yield the picture files in a folder and its folders; links to folders are not followed."""
    waiting = [folder]
    while waiting:
        for path in _entries(waiting.pop()):
            if _is_junk(path):
                skipped[_kind(path)] += 1
            elif path.suffix.lower() in SUFFIXES and is_regular_file(path):
                yield path
            elif is_folder(path) and not path.is_symlink():
                waiting.append(path)
            else:
                skipped[_kind(path)] += 1
