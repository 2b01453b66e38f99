"""Operator integration: GELU and the residual addition happen in the epilogue of the layer before.

Source: MCUFormer, section 3.2 (there all integer operators); here what saves memory beyond 8 bits:
no tensor lies between the layer and what follows it. The integers stay the same.
"""

from __future__ import annotations

from dataclasses import replace

from oplib.graph import Graph, Node

INTEGRATED = {"gelu": "linear_gelu", "add": "linear_add"}


def integrate_operators(graph: Graph) -> Graph:
    """Return the graph with every ``linear`` joined to a GELU by table or an addition behind it."""
    nodes: list[Node] = []
    for node in graph.nodes:
        before = nodes[-1] if nodes else None
        if before is None or before.op != "linear" or node.op not in INTEGRATED:
            nodes.append(node)
            continue
        readers = sum(other.inputs.count(before.output) for other in graph.nodes)
        tiled = before.attrs.get("tiled", 1) or node.op == "gelu"
        if node.inputs[-1] != before.output or readers > 1 or not tiled:
            nodes.append(node)
            continue
        nodes[-1] = replace(
            node,
            name=f"{before.name}.{node.op}",
            op=INTEGRATED[node.op],
            inputs=(*before.inputs, *node.inputs[:-1]),
            attrs=before.attrs,
            overwrites=1 if node.op == "add" else None,
            parts=(before, node),
        )
    return replace(graph, nodes=tuple(nodes))
