"""Lowering: from a float network to integers, one operator at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from oplib.graph import Node
from oplib.network.reference import FloatModel, IntegerModel
from oplib.ops.base import Array, LoweringContext
from oplib.ops.quant import QuantParams
from oplib.ops.registry import OPERATORS
from oplib.quantize.calibrate import (
    DEFAULT_QUANT,
    Calibration,
    QuantSettings,
    calibrate,
    choose_quant,
)
from oplib.quantize.equalize import equalize


def quantize(
    model: FloatModel, images: Array, settings: QuantSettings = DEFAULT_QUANT
) -> IntegerModel:
    """Calibrate a float network and lower it to integers.

    Args:
        model: the float network.
        images: raw pixels (B, H, W, C) for calibration, never of the test part.
        settings: how scales and weights are chosen.

    Raises:
        DataError: the calibration images are unusable.
        LoweringError: naming the layer that the integer arithmetic cannot represent.
    """
    model = prepare(model, images, settings)
    return lower(model, calibrate(model, images, settings), settings)


def prepare(model: FloatModel, images: Array, settings: QuantSettings) -> FloatModel:
    """Return the float network to lower: equal to `model`, and equalised if the settings say so."""
    return equalize(model, images) if settings.equalize else model


def lower(
    model: FloatModel, calibration: Calibration, settings: QuantSettings = DEFAULT_QUANT
) -> IntegerModel:
    """Quantise a calibrated float network.

    Raises:
        LoweringError: naming the layer that the integer arithmetic cannot represent.
    """
    means = calibration.means if settings.bias_correction else {}
    return lower_with(model, choose_quant(model.graph, calibration.ranges), means)


def lower_with(
    model: FloatModel, quant: Mapping[str, QuantParams], means: Mapping[str, Array]
) -> IntegerModel:
    """Quantise a float network with given scales.

    Args:
        model: the float network.
        quant: scale and zero point of every tensor and intermediate, by name.
        means: channel means of the tensors whose readers correct their biases; empty for none.

    Raises:
        LoweringError: naming the layer that the integer arithmetic cannot represent.
    """
    graph, scales = model.graph, dict(quant)
    lowered = {}
    for node in graph.nodes:
        context = LoweringContext(graph.inputs_of(node), scales, model.preprocessing, means)
        operator, params = OPERATORS[node.op], model.params.get(node.name, {})
        scales[node.output] = _output_quant(node, params, context)
        lowered[node.name] = operator.lower(node, params, context)
    return IntegerModel(graph, scales, lowered, model.preprocessing)


def _output_quant(node: Node, params: Mapping[str, Array], context: LoweringContext) -> QuantParams:
    """Return the scale and zero point of a node's output.

    A scale finer than the integers can express is made coarser. With the same zero point the codes
    still hold the whole range.
    """
    operator = OPERATORS[node.op]
    if operator.keeps_scale:
        return context.of(node.inputs[0])
    chosen = operator.output_quant(node, params, context)
    if chosen is not None:
        return chosen
    calibrated = context.of(node.output)
    finest = operator.finest_scale(node, params, context)
    return replace(calibrated, scale=max(calibrated.scale, finest))
