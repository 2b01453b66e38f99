"""Strip input: the application hands over rows of the image, which is never whole in the arena."""

from __future__ import annotations

from dataclasses import replace

from mcuformer.errors import LoweringError
from oplib.graph import Graph


def strip_input(graph: Graph) -> Graph:
    """Return the graph with its patch embedding reading strips of rows.

    Raises:
        LoweringError: another tokenizer, or a patch embedding in passes, reads the image.
    """
    first, *rest = graph.nodes
    if first.op != "patch_embed":
        raise LoweringError(
            "only a whole int8 patch embedding takes the image in strips",
            where="forms.passes.input",
            got=f"strip, with {first.op}",
            expected="tokenizer=patch, forms.residual=int8 and forms.patch_kernel=null",
        )
    return replace(graph, nodes=(replace(first, op="patch_embed_strips"), *rest))
