"""Token overwriting: an output takes over the bytes of an input that dies with it.

Source: MCUFormer, section 3.2. A linear layer overwrites its input token by token, from the first
where rows shrink and from the last where they grow; attention overwrites the queries, elementwise
operators and norms their input. :func:`oplib.plan.check_plan.check_plan` proves every case by the
operator's order of access (``touches``).
"""

from __future__ import annotations

from dataclasses import replace

from oplib.graph import Graph, Node
from oplib.ops.registry import OPERATORS


def overwrite_tokens(graph: Graph) -> Graph:
    """Return the graph with `overwrites` set wherever kernel and liveness allow it."""
    nodes = tuple(_overwriting(graph, index, node) for index, node in enumerate(graph.nodes))
    return replace(graph, nodes=nodes)


def _overwriting(graph: Graph, index: int, node: Node) -> Node:
    """Return the node with its output over an input that dies with it, if one does."""
    if node.overwrites is not None:
        return node
    operator = OPERATORS[node.op]
    for position in operator.in_place:
        name = node.inputs[position]
        dies_here = graph.last_use(name) == index and node.inputs.count(name) == 1
        source, target = graph.tensors[name], graph.tensors[node.output]
        if dies_here and operator.can_overwrite(node, source, target):
            return replace(node, overwrites=position)
    return node
