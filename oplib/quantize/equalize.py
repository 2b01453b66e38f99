"""Balance the channels of layer norms against the weights that read them, before lowering."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from oplib.graph import Graph, Node
from oplib.network.reference import FloatModel, run_float
from oplib.ops.base import Array
from oplib.ops.registry import OPERATORS
from oplib.quantize.calibrate import BATCH_SIZE


def equalize(model: FloatModel, images: Array) -> FloatModel:
    """Return an equal float network whose norm outputs have channels of similar magnitude.

    Source: SmoothQuant (Xiao et al., 2023), section 4, with migration strength 0.5.

    Args:
        model: the float network.
        images: raw pixels (B, H, W, C) over which the largest activations are found.
    """
    # Dividing channel j of a norm by s_j and multiplying column j of the weights that read it by
    # s_j changes no product. With s_j = sqrt(max|x_j| / max|w_j|) both sides get the same largest
    # magnitude, sqrt(max|x_j| max|w_j|): the outliers of one channel are split between its
    # activations, which share a scale, and its weights. Only ratios between channels matter;
    # dividing s by its geometric mean keeps the overall size of activations.
    graph = model.graph
    readers = {node.output: linear_readers(graph, node) for node in graph.nodes}
    norms = [n for n in graph.nodes if OPERATORS[n.op].scales_channels and readers[n.output]]
    largest: dict[str, Array] = {}

    def observe(name: str, values: Array) -> None:
        if any(name == norm.output for norm in norms):
            magnitude = np.abs(values.reshape(-1, values.shape[-1])).max(axis=0)
            largest[name] = np.maximum(largest.get(name, 0.0), magnitude)

    for start in range(0, len(images), BATCH_SIZE):
        run_float(model, images[start : start + BATCH_SIZE], observe)
    params = {name: dict(arrays) for name, arrays in model.params.items()}
    for norm in norms:
        weights = [params[node.name]["weight"] for node in readers[norm.output]]
        largest_weight = np.max([np.abs(weight).max(axis=0) for weight in weights], axis=0)
        scale = np.sqrt(np.maximum(largest[norm.output], 1e-6) / np.maximum(largest_weight, 1e-6))
        scale = (scale / np.exp(np.log(scale).mean())).astype(np.float32)
        for name in ("weight", "bias"):
            params[norm.name][name] = params[norm.name][name] / scale
        for node in readers[norm.output]:
            params[node.name]["weight"] = params[node.name]["weight"] * scale
    return replace(model, params=params)


def linear_readers(graph: Graph, node: Node) -> list[Node]:
    """Return the linear layers that read a node's output; none if any other operator reads it."""
    readers = [other for other in graph.nodes if node.output in other.inputs]
    return readers if all(OPERATORS[r.op].weighs_channels for r in readers) else []
