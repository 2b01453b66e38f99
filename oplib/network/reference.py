"""Run a graph in numpy: the float reference and the integer reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mcuformer.data.preprocessing import Preprocessing
from oplib.graph import Graph, Node
from oplib.ops.base import Array, Lowered
from oplib.ops.quant import QuantParams
from oplib.ops.registry import OPERATORS

Observer = Callable[[str, Array], None]
BATCH_SIZE = 256


@dataclass(frozen=True)
class FloatModel:
    """A graph with float parameters.

    Args:
        graph: the unscheduled graph.
        params: arrays of each node, by node name and kind.
        preprocessing: how raw pixels are normalised.
    """

    graph: Graph
    params: Mapping[str, Mapping[str, Array]]
    preprocessing: Preprocessing


@dataclass(frozen=True)
class IntegerModel:
    """A graph with the integers of SPEC.md, from which firmware is generated.

    Args:
        graph: the unscheduled graph.
        quant: scale and zero point of each tensor, by name.
        lowered: arrays and scalars of each node, by name.
        preprocessing: how raw pixels are normalised; folded into the integers.
    """

    graph: Graph
    quant: Mapping[str, QuantParams]
    lowered: Mapping[str, Lowered]
    preprocessing: Preprocessing


def run_float(
    model: FloatModel,
    images: Array,
    observe: Observer | None = None,
    change: Callable[[str, Array], Array] | None = None,
) -> Array:
    """Return float logits (B, K) of raw images (B, H, W, C).

    Args:
        model: the float network.
        images: raw pixels (B, H, W, C).
        observe: receives name and values of every tensor, and of intermediates inside operators.
        change: receives name and values of every tensor and returns the values to go on with.
    """

    def step(node: Node, inputs: list[Array]) -> Array:
        operator, params = OPERATORS[node.op], model.params.get(node.name, {})
        if observe is not None:
            for name, values in operator.internals(node, params, inputs).items():
                observe(name, values)
        output = operator.run_float(node, params, inputs)
        if observe is not None:
            observe(node.output, output)
        return output if change is None else change(node.output, output)

    return _run(model.graph, model.preprocessing.normalize(images), step)


def run_integer(model: IntegerModel, images: Array, observe: Observer | None = None) -> Array:
    """Return int32 logits (B, K), as the firmware computes them.

    Args:
        model: the integer network.
        images: raw pixels (B, H, W, C).
        observe: receives name and values of every tensor.
    """

    def step(node: Node, inputs: list[Array]) -> Array:
        output = OPERATORS[node.op].run_integer(node, model.lowered[node.name], inputs)
        if observe is not None:
            observe(node.output, output)
        return output

    chunks = [
        _run(model.graph, images[start : start + BATCH_SIZE], step)
        for start in range(0, len(images), BATCH_SIZE)
    ]
    return np.concatenate(chunks)


def run_node(model: IntegerModel, node: Node, values: Mapping[str, Array]) -> Array:
    """Return the output (B, ...) of a scheduled node, computed part by part.

    Args:
        model: the integer network.
        node: node of the scheduled graph.
        values: values of its inputs (B, ...), by name.
    """
    known = dict(values)
    for part in node.leaves:
        inputs = [known[name] for name in part.inputs]
        known[part.output] = OPERATORS[part.op].run_integer(part, model.lowered[part.name], inputs)
    return known[node.output]


def _run(graph: Graph, images: Array, step: Callable[[Node, list[Array]], Array]) -> Array:
    """Return the graph's output; every tensor is dropped after its last use."""
    values = {graph.input: images}
    for index, node in enumerate(graph.nodes):
        values[node.output] = step(node, [values[name] for name in node.inputs])
        for name in node.inputs:
            if graph.last_use(name) == index:
                values.pop(name, None)
    return values[graph.output]
