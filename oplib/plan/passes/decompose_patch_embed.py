"""Patch-embedding decomposition: one large kernel becomes passes of small ones.

Source: MCUFormer, section 3.2. The integers stay the same; working memory shrinks from a tile of
whole patches to sums and a tile of one pass. Where weights are copied to SRAM, the copy shrinks to
the weights of one pass.
"""

from __future__ import annotations

from dataclasses import replace

from oplib.graph import Graph
from oplib.ops.registry import OPERATORS


def decompose_patch_embed(graph: Graph, kernel: int | None) -> Graph:
    """Return the graph with its patch embedding in passes of ``kernel`` x ``kernel`` pixels.

    Args:
        graph: the graph before scheduling.
        kernel: side of a pass in pixels; None leaves the patch embedding whole.

    Raises:
        LoweringError: the passes do not divide the patch.
    """
    if kernel is None:
        return graph
    nodes = tuple(OPERATORS[node.op].in_passes(node, kernel) for node in graph.nodes)
    return replace(graph, nodes=nodes)
