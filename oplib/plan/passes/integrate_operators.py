"""Operator integration: tables and residual additions run in the epilogue of the layer before.

Source: MCUFormer, section 3.2, where it covers all integer operators. Here it removes the tensor
between a layer and the operator that follows it. The integers stay the same.
"""

from __future__ import annotations

from dataclasses import replace

from oplib.graph import Graph, Node
from oplib.ops.registry import OPERATORS


def integrate_operators(graph: Graph) -> Graph:
    """Return the graph with each layer joined to the table or addition that is its only reader."""
    nodes: list[Node] = []
    for node in graph.nodes:
        joined = _joined(graph, nodes[-1], node) if nodes else None
        if joined is None:
            nodes.append(node)
        else:
            nodes[-1] = joined
    return replace(graph, nodes=tuple(nodes))


def _joined(graph: Graph, before: Node, node: Node) -> Node | None:
    """Return one node that computes both, or None where no kernel does."""
    epilogue = OPERATORS[node.op].epilogue
    op = None if epilogue is None else OPERATORS[before.op].with_epilogue(before, epilogue)
    if epilogue is None or op is None or node.inputs[-1] != before.output:
        return None
    if sum(other.inputs.count(before.output) for other in graph.nodes) > 1:
        return None
    stream = node.inputs[:-1]  # of an addition; a table has no other input
    return replace(
        node,
        name=f"{before.name}.{epilogue}",
        op=op,
        inputs=(*before.inputs, *stream),
        attrs=before.attrs,
        overwrites=1 if stream else None,
        parts={"linear": before, epilogue: node},
    )
