"""How well each layer survived: signal to noise, saturation, ranges, and what one tensor costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from oplib.graph import Node
from oplib.network.reference import FloatModel, IntegerModel, run_float, run_integer
from oplib.ops.base import Array
from oplib.ops.quant import QuantParams

BAD_DECIBELS = 10.0
CODES = {"int8": (-128, 127), "int16": (-32768, 32767)}


@dataclass(frozen=True)
class LayerQuality:
    """One tensor of the exported network.

    Args:
        tensor: its name. op: what wrote it. dtype: its type on the device.
        low, high: of the float values. scale: of a code.
        snr_db: of the integer network against the float one, all that came before included.
        saturated_percent: float values beyond the codes, by more than half a step.
        alone_snr_db: of the logits when this tensor alone is rounded.
        alone_cost_percent: accuracy that this costs, on the same images.
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
        images: raw pixels (B, H, W, C), a few dozen. labels: (B,).
    """
    real: dict[str, Array] = {}
    codes: dict[str, Array] = {}

    def keep(name: str, values: Array) -> None:
        kind = floating.graph.tensors.get(name)
        if kind is not None and values.shape[1:] == kind.shape:  # no table at the tensor's scale
            real[name] = values

    logits = run_float(floating, images, keep)
    run_integer(integer, images, lambda name, values: codes.update({name: values}))
    right = float((logits.argmax(axis=1) == labels).mean())
    rows = []
    for node in integer.graph.nodes:
        kind = integer.graph.tensors[node.output].dtype
        if kind not in CODES:
            continue
        quant, values = integer.quant[node.output], real[node.output]
        found = codes[node.output]
        low, high = quant.dequantize(np.array(CODES[kind]))
        beyond = (values < low - quant.scale / 2) | (values > high + quant.scale / 2)
        alone = run_float(floating, images, change=_rounding(node, quant, kind))
        rows.append(
            LayerQuality(
                tensor=node.output,
                op=node.op,
                dtype=kind,
                low=float(values.min()),
                high=float(values.max()),
                scale=quant.scale,
                snr_db=decibels(
                    values, (found.astype(np.float64) - quant.zero_point) * quant.scale
                ),
                saturated_percent=100.0 * float(beyond.mean()),
                alone_snr_db=decibels(logits, alone),
                alone_cost_percent=100.0 * (right - float((alone.argmax(1) == labels).mean())),
            )
        )
    return rows


def _rounding(node: Node, quant: QuantParams, kind: str) -> Callable[[str, Array], Array]:
    low, high = CODES[kind]

    def change(name: str, values: Array) -> Array:
        if name != node.output:
            return values
        found = np.clip(np.rint(values / quant.scale) + quant.zero_point, low, high)
        return quant.dequantize(found).astype(np.float32)

    return change


def decibels(signal: Array, other: Array) -> float:
    """Return the ratio of a signal to its difference from `other`, in dB; at most 99."""
    noise = float(((signal.astype(np.float64) - other) ** 2).sum())
    power = float((signal.astype(np.float64) ** 2).sum())
    if power == 0.0 or noise <= power * 10**-9.9:
        return 99.0
    return 10 * float(np.log10(power / noise))


def warnings(rows: list[LayerQuality]) -> list[str]:
    """Return a line for each layer that quantisation serves badly."""
    return [
        f"warning: {row.tensor} keeps {row.snr_db:.1f} dB of signal to noise "
        f"(saturated {row.saturated_percent:.2f} %, range {row.low:.3g} to {row.high:.3g})"
        for row in rows
        if row.snr_db < BAD_DECIBELS
    ]
