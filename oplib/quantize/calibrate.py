"""Ranges of every activation over calibration images, and the scales that follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mcuformer.errors import DataError, LoweringError
from mcuformer.value import Value
from oplib.graph import Graph
from oplib.network.reference import FloatModel, run_float
from oplib.ops.base import Array
from oplib.ops.quant import QuantParams, affine, symmetric, symmetric16
from oplib.ops.registry import OPERATORS

BATCH_SIZE = 64
BINS = 2048
LEVELS = 128  # of an entropy-calibrated magnitude
SHRINKS = np.linspace(1.0, 0.3, 57)


class QuantSettings(Value):
    """How scales and weights are chosen.

    Args:
        observer: the whole range; a percentile of it; the clipping of least squared error; the
            clipping of least relative entropy (Migacz, 2017).
        percentile: kept by that observer, the rest shared by both ends.
        bias_correction: biases take up the mean error of the rounded weights (Nagel et al., 2019).
        equalize: channels of a layer norm's output are balanced against the weights that read them
            (SmoothQuant, Xiao et al., 2023), which changes no float number.
    """

    observer: Literal["minmax", "percentile", "mse", "entropy"] = "minmax"
    percentile: Annotated[float, Field(gt=50.0, le=100.0)] = 99.99
    bias_correction: bool = False
    equalize: bool = False


DEFAULT_QUANT = QuantSettings()


@dataclass(frozen=True)
class Range:
    """Smallest and largest value seen, or kept."""

    low: float
    high: float

    def including(self, values: Array) -> Range:
        """Return the range widened to hold `values`."""
        return Range(min(self.low, float(values.min())), max(self.high, float(values.max())))


@dataclass(frozen=True)
class Calibration:
    """What calibration images told.

    Args:
        ranges: of every tensor, and of values inside operators.
        means: of each channel (the last axis) of every tensor.
    """

    ranges: Mapping[str, Range]
    means: Mapping[str, Array]


def calibrate(
    model: FloatModel, images: Array, settings: QuantSettings = DEFAULT_QUANT
) -> Calibration:
    """Run the float graph on calibration images and return what every tensor needs.

    Args:
        model: float graph.
        images: raw pixels (B, H, W, C).

    Raises:
        DataError: no images; LoweringError: a value is not finite.
    """
    if len(images) == 0:
        raise DataError("the calibration set is empty", where="export.calibration_images")
    if len(images) > 1 and bool(np.all(images[1:] == images[:1])):
        raise DataError(
            "the calibration images are all alike",
            where="export.calibration_images",
            got=f"{len(images)} times the same",
        )
    ranges: dict[str, Range] = {}
    sums: dict[str, Array] = {}
    counts: dict[str, int] = {}

    def observe(name: str, values: Array) -> None:
        if not np.all(np.isfinite(values)):
            raise LoweringError("NaN or infinity in the float network", where=name)
        ranges[name] = ranges.get(name, Range(np.inf, -np.inf)).including(values)
        kind = model.graph.tensors.get(name)
        if kind is None or values.shape[1:] != kind.shape:
            return  # a value inside, or a table at the tensor's scale
        rows = values.reshape(-1, values.shape[-1])
        sums[name] = sums.get(name, 0.0) + rows.sum(axis=0, dtype=np.float64)
        counts[name] = counts.get(name, 0) + len(rows)

    _each_batch(model, images, observe)
    means = {name: total / counts[name] for name, total in sums.items()}
    if settings.observer == "minmax":
        return Calibration(ranges, means)
    histograms = {name: np.zeros(BINS) for name in ranges}

    def count(name: str, values: Array) -> None:
        seen = ranges[name]
        if seen.high > seen.low:
            found = np.histogram(values, BINS, (seen.low, seen.high))[0]
            histograms[name] += found

    _each_batch(model, images, count)
    kept = {
        name: clip_range(seen, histograms[name], settings) if seen.high > seen.low else seen
        for name, seen in ranges.items()
    }
    return Calibration(kept, means)


def _each_batch(model: FloatModel, images: Array, observe: Callable[[str, Array], None]) -> None:
    for start in range(0, len(images), BATCH_SIZE):
        run_float(model, images[start : start + BATCH_SIZE], observe)


def clip_range(seen: Range, histogram: Array, settings: QuantSettings) -> Range:
    """Return the part of a range that the observer keeps.

    Args:
        seen: the whole range. histogram: counts in equal bins over it.
    """
    edges = np.linspace(seen.low, seen.high, len(histogram) + 1)
    if settings.observer == "percentile":
        share = np.cumsum(histogram) / histogram.sum()
        rest = (1 - settings.percentile / 100) / 2
        first = int(np.searchsorted(share, rest, side="right"))
        last = int(np.searchsorted(share, 1 - rest, side="left"))
        return Range(float(edges[first]), float(edges[min(last + 1, len(histogram))]))
    centres = (edges[1:] + edges[:-1]) / 2
    if settings.observer == "mse":
        shrink = min(SHRINKS, key=lambda s: _squared_error(seen, centres, histogram, float(s)))
        return Range(seen.low * float(shrink), seen.high * float(shrink))
    limit = _entropy_limit(centres, histogram)
    return Range(max(seen.low, -limit), min(seen.high, limit))


def _squared_error(seen: Range, centres: Array, histogram: Array, shrink: float) -> float:
    """Return the sum of squared clipping and rounding errors of a range shrunk at both ends."""
    low, high = min(seen.low * shrink, 0.0), max(seen.high * shrink, 0.0)
    clipped = np.clip(centres, low, high)
    inside = histogram[(centres >= low) & (centres <= high)].sum()
    step = (high - low) / 255
    return float((histogram * (centres - clipped) ** 2).sum() + inside * step**2 / 12)


def _entropy_limit(centres: Array, histogram: Array) -> float:
    """Return the magnitude whose clipping to 128 levels loses least relative entropy."""
    top = float(np.abs(centres).max())
    counts = np.histogram(np.abs(centres), BINS, (0.0, top), weights=histogram)[0]
    best, best_loss = BINS, np.inf
    for kept in range(LEVELS, BINS + 1, 16):
        p = counts[:kept].copy()
        p[-1] += counts[kept:].sum()
        groups = np.minimum(np.arange(kept) * LEVELS // kept, LEVELS - 1)
        filled = counts[:kept] > 0
        sums = np.bincount(groups, counts[:kept], LEVELS)
        sizes = np.bincount(groups, filled, LEVELS)
        q = np.where(filled, (sums / np.maximum(sizes, 1))[groups], 0.0)
        both = (p > 0) & (q > 0)
        if not both.any():
            continue
        loss = float((p[both] * np.log((p[both] / p.sum()) / (q[both] / q.sum()))).sum() / p.sum())
        loss += float(p[(p > 0) & (q == 0)].sum() / p.sum()) * 10  # what q cannot express
        if loss < best_loss:
            best, best_loss = kept, loss
    return top * best / BINS


def choose_quant(graph: Graph, ranges: Mapping[str, Range]) -> dict[str, QuantParams]:
    """Choose scale and zero point of every tensor that was seen.

    Inputs that an operator needs without zero point, and values inside operators (attention
    scores), are symmetric; the rest has a zero point where it pays.
    """
    needed = {
        node.inputs[index] for node in graph.nodes for index in OPERATORS[node.op].symmetric_inputs
    }
    kinds = {name: kind.dtype for name, kind in graph.tensors.items()}
    quant = {}
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
