"""From float to integers: one operator at a time."""

from __future__ import annotations

from collections.abc import Mapping

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
    """Calibrate on images and lower.

    Args:
        images: raw pixels (B, H, W, C), never of the test part.

    Raises:
        DataError, LoweringError: as :func:`calibrate` and :func:`lower`.
    """
    model = prepare(model, images, settings)
    return lower(model, calibrate(model, images, settings), settings)


def prepare(model: FloatModel, images: Array, settings: QuantSettings) -> FloatModel:
    """Return the float network that is lowered: equal to `model`, perhaps easier to quantise."""
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
        means: of each tensor's channels, where biases shall take up the weights' mean error.

    Raises:
        LoweringError: naming the layer that the integer arithmetic cannot represent.
    """
    graph, scales = model.graph, dict(quant)
    lowered = {}
    for node in graph.nodes:
        context = LoweringContext(graph.inputs_of(node), quant, model.preprocessing, means)
        operator, params = OPERATORS[node.op], model.params.get(node.name, {})
        lowered[node.name] = operator.lower(node, params, context)
        own = operator.output_quant(node, params, context)
        if own is not None:
            scales[node.output] = own
    return IntegerModel(graph, scales, lowered, model.preprocessing)
