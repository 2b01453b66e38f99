"""Ranges of all activations over the calibration images, and the scales chosen from them."""

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
LEVELS = 128  # int8 codes of a magnitude
SHRINKS = np.linspace(1.0, 0.3, 57)  # factors of the mse observer, 1/80 of the range apart


class QuantSettings(Value):
    """How scales and weights are chosen.

    Args:
        observer: the part of a range that is kept: all of it; a percentile; the part with the least
            squared error; the part with the least relative entropy (Migacz, 2017).
        percentile: percentage of values that the percentile observer keeps; each end loses half of
            the others.
        bias_correction: whether biases compensate the mean error of the rounded weights (Nagel et
            al., 2019).
        equalize: whether the channels of a layer norm's output are balanced against the weights
            that read them, which leaves the float network equal (SmoothQuant, Xiao et al., 2023).
    """

    observer: Literal["minmax", "percentile", "mse", "entropy"] = "minmax"
    percentile: Annotated[float, Field(gt=50.0, le=100.0)] = 99.99
    bias_correction: bool = False
    equalize: bool = False


DEFAULT_QUANT = QuantSettings()


@dataclass(frozen=True)
class Range:
    """Smallest and largest value of a tensor, as observed or as kept after clipping."""

    low: float
    high: float

    def including(self, values: Array) -> Range:
        """Return the range widened to hold `values`."""
        return Range(min(self.low, float(values.min())), max(self.high, float(values.max())))


@dataclass(frozen=True)
class Calibration:
    """Activation statistics over the calibration images.

    Args:
        ranges: range of every tensor, and of intermediates inside operators, by name.
        means: mean of each channel (the last axis) of every tensor, by name.
    """

    ranges: Mapping[str, Range]
    means: Mapping[str, Array]


def calibrate(
    model: FloatModel, images: Array, settings: QuantSettings = DEFAULT_QUANT
) -> Calibration:
    """Run the float network on the calibration images and return its statistics.

    Args:
        model: the float network.
        images: raw pixels (B, H, W, C).
        settings: the observer that clips the ranges.

    Raises:
        DataError: there are no images, or all are equal.
        LoweringError: a value is not finite.
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
        tensor = model.graph.tensors.get(name)
        if tensor is None or values.shape[1:] != tensor.shape:
            return  # an intermediate, or a table that shares the tensor's scale
        rows = values.reshape(-1, values.shape[-1])
        sums[name] = sums.get(name, 0.0) + rows.sum(axis=0, dtype=np.float64)
        counts[name] = counts.get(name, 0) + len(rows)

    _each_batch(model, images, observe)
    means = {name: total / counts[name] for name, total in sums.items()}
    if settings.observer == "minmax":
        return Calibration(ranges, means)
    histograms = {name: np.zeros(BINS) for name in ranges}

    def count(name: str, values: Array) -> None:
        whole = ranges[name]
        if whole.high > whole.low:
            histograms[name] += np.histogram(values, BINS, (whole.low, whole.high))[0]

    _each_batch(model, images, count)
    clipped = {
        name: clip_range(whole, histograms[name], settings) if whole.high > whole.low else whole
        for name, whole in ranges.items()
    }
    return Calibration(clipped, means)


def _each_batch(model: FloatModel, images: Array, observe: Callable[[str, Array], None]) -> None:
    for start in range(0, len(images), BATCH_SIZE):
        run_float(model, images[start : start + BATCH_SIZE], observe)


def clip_range(observed: Range, histogram: Array, settings: QuantSettings) -> Range:
    """Return the part of a range that the observer keeps.

    Args:
        observed: the whole range.
        histogram: counts of values in equal bins over the whole range.
        settings: the observer, other than ``minmax``.
    """
    edges = np.linspace(observed.low, observed.high, len(histogram) + 1)
    if settings.observer == "percentile":
        # The range begins with the bin in which the cumulative share passes `tail`, half of what is
        # dropped, and ends with the bin in which it reaches 1 - tail.
        cumulative = np.cumsum(histogram) / histogram.sum()
        tail = (1 - settings.percentile / 100) / 2
        first = int(np.searchsorted(cumulative, tail, side="right"))
        last = int(np.searchsorted(cumulative, 1 - tail, side="left"))
        return Range(float(edges[first]), float(edges[min(last + 1, len(histogram))]))
    centres = (edges[1:] + edges[:-1]) / 2
    if settings.observer == "mse":
        shrink = min(SHRINKS, key=lambda s: _squared_error(observed, centres, histogram, float(s)))
        return Range(observed.low * float(shrink), observed.high * float(shrink))
    limit = _entropy_limit(centres, histogram)
    return Range(max(observed.low, -limit), min(observed.high, limit))


def _squared_error(observed: Range, centres: Array, histogram: Array, shrink: float) -> float:
    """Return the sum of squared clipping and rounding errors of a range shrunk at both ends."""
    # A value outside loses its distance to the range. One inside has a rounding error that is
    # uniform over a step of 1/255 of the range, with mean square step^2 / 12.
    low, high = min(observed.low * shrink, 0.0), max(observed.high * shrink, 0.0)
    clipped = np.clip(centres, low, high)
    inside = histogram[(centres >= low) & (centres <= high)].sum()
    step = (high - low) / 255
    return float((histogram * (centres - clipped) ** 2).sum() + inside * step**2 / 12)


def _entropy_limit(centres: Array, histogram: Array) -> float:
    """Return the magnitude with the least relative entropy when clipped there to 128 levels.

    Source: Migacz, "8-bit inference with TensorRT", GTC 2017.
    """
    # For each limit of `kept` bins, P is the histogram as saturation leaves it: all values beyond
    # the limit become the limit, so the last bin receives the clipped mass. Q is what 128 levels
    # can express of the kept bins: each level spreads its sum evenly over its bins that are not
    # empty. Q does not receive the clipped mass, so that clipping much makes P and Q differ. The
    # loss is KL(P || Q) = sum p log(p / q), with P and Q normalised.
    # Only the last bin can have p > 0 and q = 0: empty itself, with clipped mass. KL would be
    # infinite; 10 nats per unit of mass, a ratio p / q of e^10, rank such a limit low but finite.
    top = float(np.abs(centres).max())
    counts = np.histogram(np.abs(centres), BINS, (0.0, top), weights=histogram)[0]
    best, best_loss = BINS, np.inf
    for kept in range(LEVELS, BINS + 1, 16):
        p = counts[:kept].copy()
        p[-1] += counts[kept:].sum()
        groups = np.minimum(np.arange(kept) * LEVELS // kept, LEVELS - 1)
        occupied = counts[:kept] > 0
        sums = np.bincount(groups, counts[:kept], LEVELS)
        sizes = np.bincount(groups, occupied, LEVELS)
        q = np.where(occupied, (sums / np.maximum(sizes, 1))[groups], 0.0)
        shared = (p > 0) & (q > 0)
        if not shared.any():
            continue
        ratio = (p[shared] / p.sum()) / (q[shared] / q.sum())
        loss = float((p[shared] * np.log(ratio)).sum() / p.sum())
        loss += float(p[(p > 0) & (q == 0)].sum() / p.sum()) * 10
        if loss < best_loss:
            best, best_loss = kept, loss
    return top * best / BINS


def choose_quant(graph: Graph, ranges: Mapping[str, Range]) -> dict[str, QuantParams]:
    """Return scale and zero point of every tensor and intermediate with a range, by name.

    Inputs that an operator needs with zero point 0, intermediates (attention scores) and int16
    tensors are symmetric; all others are affine (:func:`oplib.ops.quant.affine`).
    """
    symmetric_tensors = {
        node.inputs[index] for node in graph.nodes for index in OPERATORS[node.op].symmetric_inputs
    }
    dtypes = {name: tensor.dtype for name, tensor in graph.tensors.items()}
    quant = {}
    for name, observed in ranges.items():
        if dtypes.get(name) == "int16":
            quant[name] = symmetric16(max(abs(observed.low), abs(observed.high)))
        elif name in symmetric_tensors or name not in graph.tensors:
            quant[name] = symmetric(max(abs(observed.low), abs(observed.high)))
        else:
            quant[name] = affine(observed.low, observed.high)
    for node in graph.nodes:
        if OPERATORS[node.op].keeps_scale:
            quant[node.output] = quant[node.inputs[0]]
    return quant
