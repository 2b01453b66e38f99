"""Quality of each quantised layer: signal to noise, saturation, range, and cost in accuracy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from oplib.graph import Node
from oplib.network.reference import FloatModel, IntegerModel, run_float, run_integer
from oplib.ops.base import Array
from oplib.ops.quant import CODES, QuantParams

BAD_DECIBELS = 10.0


@dataclass(frozen=True)
class LayerQuality:
    """Quality of one tensor of the exported network.

    Args:
        tensor: name of the tensor.
        op: operator that writes it.
        dtype: its type on the device.
        low: smallest float value.
        high: largest float value.
        scale: real value of one code.
        snr_db: signal-to-noise ratio of the integer network's tensor against the float one's, with
            the errors of all earlier layers.
        saturated_percent: percentage of float values beyond the codes by more than half a step.
        alone_snr_db: signal-to-noise ratio of the logits when only this tensor is rounded.
        alone_cost_percent: percentage points of accuracy that this rounding costs on the same
            images.
    """

    tensor: str
    op: str
    dtype: str
    low: float
    high: float
    scale: float
    snr_db: float
    saturated_percent: float
    alone_snr_db: float
    alone_cost_percent: float

    def dump(self) -> dict[str, Any]:
        """Return the row as plain containers."""
        return asdict(self)


def layer_report(
    floating: FloatModel, integer: IntegerModel, images: Array, labels: Array
) -> list[LayerQuality]:
    """Compare every int8 and int16 tensor of the two networks.

    Args:
        floating: the float network.
        integer: the integer network made from it.
        images: raw pixels (B, H, W, C), a few dozen.
        labels: class indices (B,).
    """
    real: dict[str, Array] = {}
    codes: dict[str, Array] = {}

    def keep(name: str, values: Array) -> None:
        tensor = floating.graph.tensors.get(name)
        # a table that shares the tensor's scale has another shape
        if tensor is not None and values.shape[1:] == tensor.shape:
            real[name] = values

    logits = run_float(floating, images, keep)
    run_integer(integer, images, lambda name, values: codes.update({name: values}))
    accuracy = float((logits.argmax(axis=1) == labels).mean())
    rows = []
    for node in integer.graph.nodes:
        dtype = integer.graph.tensors[node.output].dtype
        if dtype not in CODES:
            continue
        quant, values = integer.quant[node.output], real[node.output]
        low, high = quant.dequantize(np.array(CODES[dtype]))
        beyond = (values < low - quant.scale / 2) | (values > high + quant.scale / 2)
        alone = run_float(floating, images, change=_rounding(node, quant, dtype))
        rows.append(
            LayerQuality(
                tensor=node.output,
                op=node.op,
                dtype=dtype,
                low=float(values.min()),
                high=float(values.max()),
                scale=quant.scale,
                snr_db=decibels(values, quant.dequantize(codes[node.output])),
                saturated_percent=100.0 * float(beyond.mean()),
                alone_snr_db=decibels(logits, alone),
                alone_cost_percent=100.0 * (accuracy - float((alone.argmax(1) == labels).mean())),
            )
        )
    return rows


def _rounding(node: Node, quant: QuantParams, dtype: str) -> Callable[[str, Array], Array]:
    """Return a function that rounds the output of one node and leaves all other values alone."""
    low, high = CODES[dtype]

    def change(name: str, values: Array) -> Array:
        if name != node.output:
            return values
        rounded = np.clip(np.rint(values / quant.scale) + quant.zero_point, low, high)
        return quant.dequantize(rounded).astype(np.float32)

    return change


def decibels(signal: Array, other: Array) -> float:
    """Return the ratio of a signal to its difference from `other`, in dB; at most 99."""
    noise = float(((signal.astype(np.float64) - other) ** 2).sum())
    power = float((signal.astype(np.float64) ** 2).sum())
    if power == 0.0 or noise <= power * 10**-9.9:
        return 99.0
    return 10 * float(np.log10(power / noise))


def warnings(rows: list[LayerQuality]) -> list[str]:
    """Return a line for each layer whose signal-to-noise ratio is below 10 dB."""
    return [
        f"warning: {row.tensor} keeps {row.snr_db:.1f} dB of signal to noise "
        f"(saturated {row.saturated_percent:.2f} %, range {row.low:.3g} to {row.high:.3g})"
        for row in rows
        if row.snr_db < BAD_DECIBELS
    ]
