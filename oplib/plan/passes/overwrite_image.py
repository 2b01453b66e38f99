"""Image overwriting: tokens are written over the strips of the image that are no longer needed.

Beyond the paper, which keeps image and tokens apart. Tokens begin a few bytes below the image. The
tile uses the dead part of the image, directly below the strip being read; the first tokens, before
any part is dead, are computed in pairs without a tile.
"""

from __future__ import annotations

from dataclasses import replace

from oplib.graph import Graph
from oplib.ops.registry import OPERATORS


def overwrite_image(graph: Graph) -> Graph | None:
    """Return the graph with tokens over the image, or None if its first operator cannot."""
    first, *rest = graph.nodes
    placed = OPERATORS[first.op].over_image(first, graph.inputs_of(first))
    return None if placed is None else replace(graph, nodes=(placed, *rest))
