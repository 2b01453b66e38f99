"""Tokenizer streaming: a convolutional tokenizer runs row by row, from the image to its tokens.

Beyond the paper, whose tokenizer is a patch embedding. Of the maps between image and tokens, only
the rows that the next convolution still needs exist. The integers stay the same.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile

from oplib.graph import Graph, Node
from oplib.ops.conv_tokens import CONVS, ConvTokensAttributes
from oplib.ops.registry import TOKENIZERS


def stream_tokenizer(graph: Graph) -> Graph:
    """Return the graph whose convolutional tokenizer, if it has one, is a single call."""
    *convs, embed = takewhile(lambda node: node.place is None, graph.nodes)
    if embed.op not in TOKENIZERS:
        return graph
    tokenizer = Node(
        name="tokenizer",
        op=TOKENIZERS[embed.op],
        inputs=convs[0].inputs,
        output=embed.output,
        attrs=ConvTokensAttributes(),
        parts=dict(zip(CONVS, convs, strict=False)) | {"embed": embed},
    )
    return replace(graph, nodes=(tokenizer, *graph.nodes[len(convs) + 1 :]))
