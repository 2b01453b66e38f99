"""Patch-embedding decomposition: one large kernel becomes passes of small ones.

Source: MCUFormer, section 3.2. The integers stay the same; the working memory shrinks from a tile
of whole patches to sums and a tile of one pass, and so does what a memory that stages weights must
hold.
"""

from __future__ import annotations

from dataclasses import replace

from mcuformer.errors import LoweringError
from oplib.graph import Graph, Node


def decompose_patch_embed(graph: Graph, kernel: int | None) -> Graph:
    """Return the graph with its patch embedding in passes of ``kernel`` x ``kernel``.

    Raises:
        LoweringError: the passes do not divide the patch.
    """
    if kernel is None:
        return graph
    return replace(graph, nodes=tuple(_decomposed(node, kernel) for node in graph.nodes))


def _decomposed(node: Node, kernel: int) -> Node:
    if not node.op.startswith("patch_embed"):
        return node
    patch = node.int_attr("patch_size")
    if patch % kernel:
        raise LoweringError(
            "the passes do not divide the patch",
            where="forms.patch_kernel",
            got=kernel,
            expected=f"a divisor of {patch}",
        )
    op = "patch_embed_passes" if node.op == "patch_embed" else node.op
    return replace(node, op=op, attrs={**node.attrs, "kernel": kernel})
