"""Token overwriting of the image: tokens are written over strips of it that are read no more.

Beyond the paper: the image and the tokens are tracked in strips. Tokens begin a little below the
image's start; the tile lies in the dead part of the image, directly below the strip being read; the
first tokens, before there is such a part, are computed in pairs without a tile.
"""

from __future__ import annotations

from dataclasses import replace

from oplib.graph import Graph, Node
from oplib.ops.patch_embed import PatchEmbed


def overwrite_image(graph: Graph) -> Graph | None:
    """Return the graph with tokens over the image, or None where the patch embedding cannot.

    It can where patches lie inside the image, their rows are whole words, there is no class token
    and nothing else reads the image.
    """
    found = [(index, _over(graph, node)) for index, node in enumerate(graph.nodes)]
    placed = {index: node for index, node in found if node is not None}
    if not placed:
        return None
    nodes = tuple(placed.get(index, node) for index, node in enumerate(graph.nodes))
    return replace(graph, nodes=nodes)


def _over(graph: Graph, node: Node) -> Node | None:
    """Return a patch embedding as little below its image as possible, with the earliest tile."""
    if node.op != "patch_embed" or node.int_attr("first"):
        return None
    inputs, operator = graph.inputs_of(node), PatchEmbed()
    if not operator.direct(node, inputs):
        return None
    grid = node.int_attr("grid_size")
    choices = []
    for tile_from in range(0, min(3 * grid, grid * grid) + 2, 2):
        placed = replace(node, attrs={**node.attrs, "tile_from": tile_from}, overwrites=0)
        below = operator.bytes_below(placed, inputs)
        if below is not None:
            choices.append((below, tile_from, replace(placed, below=below)))
    return min(choices, key=lambda choice: choice[:2])[2]
