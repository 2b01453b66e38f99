"""Token streaming: a block's attention and MLP run tile by tile, with the residual in place.

Beyond the paper, which keeps whole layers in memory: all but attention's keys and values is
computed per token, so that norm, linear layers, activation and residual addition of four tokens
pass through a tile, and no tensor of the block ever exists. The integers stay the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from oplib.graph import Branch, Graph, Node
from oplib.ops.registry import BLOCKS, OPERATORS


@dataclass(frozen=True)
class Variant:
    """A schedule of one block.

    Args:
        group: number of heads at a time in a streamed attention; 0 runs attention layer by layer.
        mlp: whether the MLP is streamed.
        tiled: whether linears outside of streams use a tile, which is twice as fast, or else read
            tokens in pairs.
    """

    group: int
    mlp: bool
    tiled: bool = True

    def streams(self, branch: Branch) -> bool:
        """Return whether a half of the block is streamed."""
        return {"attention": self.group > 0, "mlp": self.mlp}[branch]


def stream_tokens(graph: Graph, variants: Mapping[int, Variant]) -> Graph:
    """Return the graph with its blocks streamed.

    Halves whose operators have no streamed kernel stay layer by layer.

    Args:
        graph: the graph before scheduling.
        variants: how to schedule each block, by its index.
    """
    nodes: list[Node] = []
    for half, section in _sections(graph):
        variant = None if half is None else variants.get(half[0])
        if half is None or variant is None:
            nodes += section
            continue
        fused = _fused(graph, half[1], section, variant.group)
        if fused is not None and variant.streams(half[1]):
            nodes.append(fused)
        elif variant.tiled:
            nodes += section
        else:
            nodes += [OPERATORS[node.op].untiled(node) for node in section]
    return replace(graph, nodes=tuple(nodes))


def streamable(graph: Graph, block: int) -> dict[Branch, int]:
    """Return the halves of a block that can be streamed, and the largest group of each."""
    largest_groups = {}
    for half, section in _sections(graph):
        if half is None or half[0] != block:
            continue
        fused = _fused(graph, half[1], section, 1)
        if fused is not None:
            largest_groups[half[1]] = BLOCKS[half[1]][fused.op].largest_group(fused)
    return largest_groups


def _sections(graph: Graph) -> list[tuple[tuple[int, Branch] | None, list[Node]]]:
    """Cut the nodes into halves of blocks, by (block, branch), and stretches outside of blocks."""

    def half(node: Node) -> tuple[int, Branch] | None:
        return None if node.place is None else (node.place.block, node.place.branch)

    return [(key, list(nodes)) for key, nodes in groupby(graph.nodes, key=half)]


def _fused(graph: Graph, branch: Branch, section: Sequence[Node], group: int) -> Node | None:
    """Return the node that streams a half of a block, or None where no kernel does."""
    # A half begins with the norm, which reads the residual stream, and ends with the addition to
    # that stream, which nothing else reads afterwards. The fused node therefore has the stream as
    # its only input and overwrites it; every tensor between the two disappears. Parts are found by
    # role, so the graph's order and an absent factor need no index arithmetic.
    if not all(OPERATORS[node.op].streamable for node in section):
        return None
    parts = {node.place.role: node for node in section if node.place is not None}
    last = section[-1]
    for op, operator in BLOCKS[branch].items():
        attrs = operator.fused_attributes(parts, graph.tensors, group)
        if attrs is not None:
            return Node(
                name=f"{last.name.removesuffix('.add')}.block",
                op=op,
                inputs=section[0].inputs,
                output=last.output,
                attrs=attrs,
                place=last.place,
                overwrites=0,
                parts=parts,
            )
    return None
