"""Classify one image with the float network, the integer reference and the host C."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mcuformer.errors import ToolMissingError
from oplib.network.reference import FloatModel, IntegerModel, run_float, run_integer
from oplib.ops.base import Array
from oplib.target import host


@dataclass(frozen=True)
class Prediction:
    """Logits of one image.

    Args:
        logits: logits (K,) of each computation, by name; None where it was not possible.
        missing: why the host C was not run; None if it was.
    """

    logits: Mapping[str, Array | None]
    missing: str | None


def predict(
    run_path: Path, integer: IntegerModel, floating: FloatModel, image: Array
) -> Prediction:
    """Return the logits of one image.

    Args:
        run_path: run directory with the exported firmware.
        integer: the integer network.
        floating: the float network.
        image: raw pixels (H, W, C).

    Raises:
        FirmwareError: the host C does not build or run.
    """
    reference = run_integer(integer, image[None])[0]
    logits: dict[str, Array | None] = {
        "float": run_float(floating, image[None])[0],
        "int8": reference,
        "host C": None,
    }
    missing = None
    try:
        library = host.build(run_path / "firmware", run_path / "build" / "host")
        logits["host C"] = host.run_images(library, image[None], len(reference))[0]
    except ToolMissingError as error:
        missing = f"host C not verified: {error}"
    return Prediction(logits, missing)
