"""Ranges of every activation over calibration images, and the scales that follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mcuformer.errors import DataError, LoweringError
from oplib.graph import Graph
from oplib.interpret import FloatModel, run_float
from oplib.operator import Array
from oplib.ops import OPERATORS
from oplib.quant import QuantParams, affine, symmetric, symmetric16

BATCH_SIZE = 256


@dataclass(frozen=True)
class Range:
    """Smallest and largest value seen."""

    low: float
    high: float

    def including(self, values: Array) -> Range:
        """Return the range widened to hold `values`."""
        return Range(min(self.low, float(values.min())), max(self.high, float(values.max())))


def calibrate(model: FloatModel, images: Array) -> dict[str, Range]:
    """Run the float graph on calibration images and return the range of every tensor.

    Args:
        model: float graph.
        images: raw pixels (B, H, W, C).

    Raises:
        DataError: no images; LoweringError: a value is not finite.
    """
    if len(images) == 0:
        raise DataError("the calibration set is empty", where="export.calibration_images")
    ranges: dict[str, Range] = {}

    def observe(name: str, values: Array) -> None:
        if not np.all(np.isfinite(values)):
            raise LoweringError("NaN or infinity in the float network", where=name)
        ranges[name] = ranges.get(name, Range(np.inf, -np.inf)).including(values)

    for start in range(0, len(images), BATCH_SIZE):
        run_float(model, images[start : start + BATCH_SIZE], observe)
    return ranges


def choose_quant(graph: Graph, ranges: Mapping[str, Range]) -> dict[str, QuantParams]:
    """Choose scale and zero point of every tensor that was seen.

    Inputs that an operator needs without zero point, and values inside operators (attention
    scores), are symmetric; the rest has a zero point where it pays.
    """
    needed = {
        node.inputs[index] for node in graph.nodes for index in OPERATORS[node.op].symmetric_inputs
    }
    quant = {}
    kinds = {name: kind.dtype for name, kind in graph.tensors.items()}
    for name, seen in ranges.items():
        if kinds.get(name) == "int16":
            quant[name] = symmetric16(max(abs(seen.low), abs(seen.high)))
        elif name in needed or name not in graph.tensors:
            quant[name] = symmetric(max(abs(seen.low), abs(seen.high)))
        else:
            quant[name] = affine(seen.low, seen.high)
    for node in graph.nodes:
        if OPERATORS[node.op].keeps_scale:
            quant[node.output] = quant[node.inputs[0]]
    return quant
