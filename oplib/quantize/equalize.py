"""Balance the channels of layer norms against the weights that read them, in float."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from oplib.graph import Graph, Node
from oplib.network.reference import FloatModel, run_float
from oplib.ops.base import Array
from oplib.ops.registry import OPERATORS
from oplib.quantize.calibrate import BATCH_SIZE


def equalize(model: FloatModel, images: Array) -> FloatModel:
    """Return an equal float network whose norm outputs have channels of more equal size.

    A norm's channel is divided, and the columns of the linears that read it multiplied, by the root
    of (largest activation / largest weight) (SmoothQuant, section 4, with equal shares).

    Args:
        images: raw pixels (B, H, W, C) that tell the activations.
    """
    graph = model.graph
    readers = {node.output: linear_readers(graph, node) for node in graph.nodes}
    norms = [n for n in graph.nodes if OPERATORS[n.op].scales_channels and readers[n.output]]
    largest: dict[str, Array] = {}

    def observe(name: str, values: Array) -> None:
        if any(name == norm.output for norm in norms):
            found = np.abs(values.reshape(-1, values.shape[-1])).max(axis=0)
            largest[name] = np.maximum(largest.get(name, 0.0), found)

    for start in range(0, len(images), BATCH_SIZE):
        run_float(model, images[start : start + BATCH_SIZE], observe)
    params = {name: dict(arrays) for name, arrays in model.params.items()}
    for norm in norms:
        weights = [params[node.name]["weight"] for node in readers[norm.output]]
        heaviest = np.max([np.abs(weight).max(axis=0) for weight in weights], axis=0)
        scale = np.sqrt(np.maximum(largest[norm.output], 1e-6) / np.maximum(heaviest, 1e-6))
        scale = (scale / np.exp(np.log(scale).mean())).astype(np.float32)
        for name in ("weight", "bias"):
            params[norm.name][name] = params[norm.name][name] / scale
        for node in readers[norm.output]:
            params[node.name]["weight"] = params[node.name]["weight"] * scale
    return replace(model, params=params)


def linear_readers(graph: Graph, node: Node) -> list[Node]:
    """Return the linears that read a node's output, or nothing where anything else does."""
    readers = [other for other in graph.nodes if node.output in other.inputs]
    return readers if all(OPERATORS[r.op].weighs_channels for r in readers) else []
