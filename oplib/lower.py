"""From float to integers: one operator at a time."""

from __future__ import annotations

from collections.abc import Mapping

from oplib.calibrate import Range, choose_quant
from oplib.interpret import FloatModel, IntegerModel
from oplib.operator import LoweringContext
from oplib.ops import OPERATORS


def lower(model: FloatModel, ranges: Mapping[str, Range]) -> IntegerModel:
    """Quantise a calibrated float network.

    Raises:
        LoweringError: naming the layer that the integer arithmetic cannot represent.
    """
    graph = model.graph
    quant = choose_quant(graph, ranges)
    lowered = {}
    for node in graph.nodes:
        context = LoweringContext(graph.inputs_of(node), quant, model.preprocessing)
        params = model.params.get(node.name, {})
        lowered[node.name] = OPERATORS[node.op].lower(node, params, context)
    return IntegerModel(graph, quant, lowered, model.preprocessing)
