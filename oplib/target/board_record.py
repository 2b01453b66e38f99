"""What a board measured: ``board.json`` of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from mcuformer.limits import ByteCount, ImageCount, PositiveInt
from mcuformer.run.artifact import NOT_RECORDED, RunDir, file_digest, read_value
from mcuformer.run.progress import say
from mcuformer.value import Value

RECORD, KIND = "board.json", "board"


class Spread(Value):
    """Least, middle and greatest of some values."""

    min: float
    median: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least one value.

        >>> Spread.of([1.0, 5.0, 2.0, 3.0])
        Spread(min=1.0, median=2.5, max=5.0)
        """
        return cls(min=min(values), median=float(np.median(values)), max=max(values))

    def scaled(self, factor: float) -> Spread:
        """Return the spread of all values times a positive factor."""
        values = (round(factor * value, 4) for value in (self.min, self.median, self.max))
        return Spread(**dict(zip(("min", "median", "max"), values, strict=True)))


class BoardRecord(Value):
    """What ``python -m oplib.serve`` measured.

    Args:
        device: name of the device that the network was exported for.
        emulated: whether the board is an emulated one; its cycles are then instructions.
        port: the serial line.
        baud: its bits per second.
        images: number of images.
        images_from: ``steering`` images of the data set, or those ``built-in`` by the export.
        equal: whether all logits equal the integer reference's.
        different_images: images of which some logit does not.
        cycles: cycles per image.
        clock_hz: the board's clock; null of an emulated one.
        milliseconds: time per image by that clock; null of an emulated one.
        stack_bytes: largest stack of the program that served.
        requests: requests that the board answered.
        repeated: how often one was asked again, because no whole answer came in time.
        refused: how often something came from the line that was no frame.
        network: digest of the network, as board and export name it.
        export: SHA-256 of the run's ``export.json``.
        measured: when (UTC).
        git_revision: revision of the checkout, or ``unknown``.
        versions: versions of Python and of the main packages.
        machine: processor and number of cores of the computer at the other end of the line.
    """

    device: str
    emulated: bool
    port: str
    baud: PositiveInt
    images: ImageCount
    images_from: Literal["steering", "built-in"]
    equal: bool
    different_images: ByteCount
    cycles: Spread
    clock_hz: PositiveInt | None
    milliseconds: Spread | None
    stack_bytes: ByteCount
    requests: ByteCount
    repeated: ByteCount
    refused: ByteCount
    network: str
    export: str
    measured: str
    git_revision: str
    versions: dict[str, str]
    machine: str = NOT_RECORDED

    def describe(self) -> str:
        """Return the result in one line."""
        board = "an emulated board" if self.emulated else "a board"
        logits = "all logits equal" if self.equal else f"{self.different_images} images differ"
        unit = "instructions" if self.emulated else "cycles"
        time = "" if self.milliseconds is None else f", {self.milliseconds.median:,.1f} ms"
        return (
            f"{self.device}, {board} at {self.port}: {logits} on {self.images} images, "
            f"{self.cycles.median:,.0f} {unit}{time} per image, stack {self.stack_bytes:,} bytes"
        )


def current_record(run: RunDir) -> BoardRecord | None:
    """Return what a board measured of a run's export; None if none did, with a line if it is old.

    Raises:
        ArtifactError: the file is damaged.
        ConfigError: a field is missing, unknown or invalid.
    """
    path, export = run.file(RECORD), run.file("export.json")
    if not path.exists():
        return None
    record = read_value(path, KIND, BoardRecord)
    if export.exists() and record.export == file_digest(export):
        return record
    say(f"{path}: measured on an earlier export; run oplib.serve again")
    return None
