"""Picture files become images: decoded once, then read from the cache, from memory, or anew."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from mcuformer.data.cache import DeclinedError, Fill, PictureCache, Sink, Stored, cache_key
from mcuformer.data.images import Images, Labels, Parts, PictureImages, Split
from mcuformer.data.preprocessing import CROP_PCT, Preprocessing
from mcuformer.errors import DataError
from mcuformer.run.progress import say, track

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

TIMED = 8  # pictures that are decoded to measure the speed
VERSION = 2  # of what decode.py and preprocessing.py make of a picture; part of the cache's keys


@dataclass(frozen=True)
class PicturePart:
    """The pictures of one part of a data set, not decoded yet.

    Args:
        labels: class number of each.
        read: decodes the picture at a position, upright, in mode ``L`` or ``RGB``.
        identity: computes a digest of the pictures' contents.
    """

    labels: Labels
    read: Callable[[int], Picture]
    identity: Callable[[], str]


@dataclass(frozen=True)
class PictureParts:
    """A data set of pictures, see :class:`mcuformer.data.images.Parts`.

    Args:
        skipped: number of files and folders that are not pictures, by kind.
    """

    train: PicturePart
    validation: PicturePart | None
    test: PicturePart | None
    class_names: tuple[str, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Form:
    """A form in which the images of pictures are held.

    Args:
        read: makes an image (H, W, C) of a picture.
        image_shape: shape of the images; None where they differ.
        key: what the form depends on, as plain containers.
    """

    read: Callable[[Picture], Images]
    image_shape: tuple[int, int, int] | None
    key: Any

    @classmethod
    def network(cls, pre: Preprocessing) -> Form:
        """Return the form that networks see: `img_size` square, as the C header says."""
        return cls(
            pre.read_picture,
            (pre.img_size, pre.img_size, pre.in_chans),
            [VERSION, pre.img_size, pre.channel_order, pre.value_max, pre.resize, pre.crop],
        )

    @classmethod
    def crops(cls, pre: Preprocessing) -> Form:
        """Return the form that random crops are cut from: larger, with the pictures' aspect."""
        key = [VERSION, pre.img_size, pre.channel_order, pre.value_max, pre.resize, CROP_PCT]
        return cls(pre.read_for_crops, None, key)


@dataclass
class PictureReader:
    """Reads the parts of a data set of pictures.

    Args:
        preprocessing: how pictures become images.
        cache: decoded pictures on disk, or None; it is given up once it declines.
        memory_bytes: largest part, in bytes, that is held in memory where it is not in the cache.
        on_error: whether a picture that cannot be read ends the command or is left out.
    """

    preprocessing: Preprocessing
    cache: PictureCache | None
    memory_bytes: int
    on_error: Literal["skip", "stop"]

    def read(self, parts: PictureParts, *, crops: bool) -> Parts:
        """Return the parts' images and labels.

        Args:
            parts: the pictures.
            crops: whether random crops will be cut from those that are trained on.

        Raises:
            DataError: a picture cannot be read, unless such pictures are left out.
        """
        train = self._split(parts.train, crops=crops)
        # fine-tuning trains on the validation part, too
        validation = (
            None if parts.validation is None else self._split(parts.validation, crops=crops)
        )
        test = None if parts.test is None else self._split(parts.test, crops=False)
        return Parts(train, validation, test, parts.class_names)

    def seconds_per_picture(self, part: PicturePart) -> float:
        """Measure how long this machine decodes one picture, in the mean over a few of a part."""
        form, started = Form.network(self.preprocessing), time.perf_counter()
        positions = np.linspace(0, len(part.labels) - 1, TIMED).astype(int)
        for position in positions:
            with suppress(DataError):  # whoever reads the part tells
                form.read(part.read(int(position)))
        return (time.perf_counter() - started) / len(positions)

    def _split(self, part: PicturePart, *, crops: bool) -> Split:
        forms = [Form.network(self.preprocessing)]
        if crops:
            forms.append(Form.crops(self.preprocessing))
        identity = part.identity()
        stored = self._stored(part, forms, [cache_key([identity, form.key]) for form in forms])
        if stored is not None:
            unreadable = stored[0].unreadable
        else:
            unreadable = self._decode(part, ()) if self.on_error == "skip" else np.empty(0, int)
        if len(unreadable):
            self._tell(part, unreadable)
        good = np.setdiff1d(np.arange(len(part.labels)), unreadable)
        images = []
        for number, form in enumerate(forms):
            read = _decoder(part, form) if stored is None else stored[number].read
            shape = form.image_shape
            images.append(PictureImages(read, good, shape, identity, stored is None))
        return Split(images[0], part.labels[good], images[1] if crops else None)

    def _tell(self, part: PicturePart, unreadable: npt.NDArray[np.int64]) -> None:
        """Tell that pictures are left out, or refuse them.

        Raises:
            DataError: none may be left out.
        """
        try:
            part.read(int(unreadable[0]))
            fault = "it is readable now, but was not when it was cached"
        except DataError as error:
            fault = str(error)
        if self.on_error == "stop":
            raise DataError(f"{fault}; data.on_error=skip leaves it out")
        say(f"data: left out {len(unreadable)} pictures that cannot be read, the first: {fault}")

    def _stored(
        self, part: PicturePart, forms: Sequence[Form], keys: Sequence[str]
    ) -> list[Stored] | None:
        """Return the images from the cache or in memory; None where both are too small."""
        count, chans = len(part.labels), self.preprocessing.in_chans
        by_key = dict(zip(keys, forms, strict=True))

        def fill(absent: Sequence[str], sink: Sink) -> None:
            self._decode(part, [by_key[key] for key in absent], sink)

        if self.cache is not None:
            try:
                return self.cache.store(keys, count, chans, fill)
            except DeclinedError as reason:
                say(f"data: pictures are not cached in {self.cache.folder}: {reason}")
                self.cache = None
        try:
            return in_memory(keys, count, chans, self.memory_bytes, fill)
        except DeclinedError as reason:
            say(f"data: pictures are decoded whenever they are used: {reason}, see data.cache_gib")
        return None

    def _decode(
        self, part: PicturePart, forms: Sequence[Form], sink: Sink | None = None
    ) -> npt.NDArray[np.int64]:
        """Decode every picture once, into the sink; return the positions of unreadable ones."""
        unreadable = []
        for position in track(range(len(part.labels)), "reading pictures"):
            try:
                picture = part.read(position)
                images = [form.read(picture) for form in forms]
            except DataError as error:
                if self.on_error == "stop":
                    raise DataError(f"{error}; data.on_error=skip leaves it out") from error
                unreadable.append(position)
                images = [np.empty((0, 0, self.preprocessing.in_chans), np.uint8) for _ in forms]
            if sink is not None:
                sink.add(images)
        return np.array(unreadable, np.int64)


def in_memory(
    keys: Sequence[str], count: int, chans: int, limit_bytes: int, fill: Fill
) -> list[Stored]:
    """Return images in memory.

    Raises:
        DeclinedError: they are larger than `limit_bytes`.
    """
    buffers = [io.BytesIO() for _ in keys]
    sink = Sink(buffers, count, limit_bytes)
    fill(keys, sink)
    return [
        Stored(np.frombuffer(buffer.getbuffer(), np.uint8), np.array(shapes, np.int64), chans)
        for buffer, shapes in zip(buffers, sink.shapes, strict=True)
    ]


def _decoder(part: PicturePart, form: Form) -> Callable[[int], Images]:
    return lambda position: form.read(part.read(position))
