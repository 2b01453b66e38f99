"""Token overwriting of the image: tokens are written over strips of it that are read no more.

Beyond the paper: the image and the tokens are tracked in strips. Tokens begin a little below the
image's start; the tile lies in the dead part of the image, directly below the strip being read; the
first tokens, before there is such a part, are computed in pairs without a tile.
"""

from __future__ import annotations

from dataclasses import replace

from oplib.graph import Graph
from oplib.ops.registry import OPERATORS


def overwrite_image(graph: Graph) -> Graph | None:
    """Return the graph with tokens over the image, or None where its first operator cannot."""
    first, *rest = graph.nodes
    placed = OPERATORS[first.op].over_image(first, graph.inputs_of(first))
    return None if placed is None else replace(graph, nodes=(placed, *rest))
