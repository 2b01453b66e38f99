"""Token overwriting: let an output take over the bytes of an input that dies with it.

Source: MCUFormer, section 3.2. Here for the operators whose kernels work in place, element by
element or row by row: attention's output over q, GELU, the residual addition, the last norm.
"""

from __future__ import annotations

from dataclasses import replace

from oplib.graph import Graph, Node
from oplib.ops import OPERATORS


def overwrite_tokens(graph: Graph) -> Graph:
    """Return the graph with `overwrites` set wherever kernel and liveness allow it."""
    nodes = tuple(_overwriting(graph, index, node) for index, node in enumerate(graph.nodes))
    return replace(graph, nodes=nodes)


def _overwriting(graph: Graph, index: int, node: Node) -> Node:
    for position in OPERATORS[node.op].in_place:
        name = node.inputs[position]
        dies_here = graph.last_use(name) == index and node.inputs.count(name) == 1
        if dies_here and graph.tensors[name] == graph.tensors[node.output]:
            return replace(node, overwrites=position)
    return node
