"""Strip input: the application supplies rows of the image, which is never whole in the arena."""

from __future__ import annotations

from dataclasses import replace

from mcuformer.errors import LoweringError
from oplib.graph import Graph
from oplib.ops.registry import OPERATORS


def strip_input(graph: Graph) -> Graph:
    """Return the graph whose tokenizer reads rows as the application supplies them.

    Raises:
        LoweringError: a convolution runs layer by layer, or a patch embedding writes int16.
    """
    first, *rest = graph.nodes
    in_strips = OPERATORS[first.op].in_strips(first)
    if in_strips is None:
        raise LoweringError(
            "this tokenizer does not take the image in strips",
            where="forms.passes.input",
            got=f"strip, with {first.op}",
            expected="forms.residual=int8 for tokenizer=patch, "
            "forms.passes.stream_tokens=true for convolutions",
        )
    return replace(graph, nodes=(in_strips, *rest))
