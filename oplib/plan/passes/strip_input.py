"""Strip input: the application supplies rows of the image, which is never whole in the arena."""

from __future__ import annotations

from dataclasses import replace

from mcuformer.errors import LoweringError
from oplib.graph import Graph
from oplib.ops.registry import OPERATORS


def strip_input(graph: Graph) -> Graph:
    """Return the graph whose patch embedding reads strips of rows.

    Raises:
        LoweringError: another tokenizer reads the image, or the residual stream is int16.
    """
    first, *rest = graph.nodes
    in_strips = OPERATORS[first.op].in_strips(first)
    if in_strips is None:
        raise LoweringError(
            "only an int8 patch embedding takes the image in strips",
            where="forms.passes.input",
            got=f"strip, with {first.op}",
            expected="tokenizer=patch and forms.residual=int8",
        )
    return replace(graph, nodes=(in_strips, *rest))
