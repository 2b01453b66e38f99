"""Token streaming: a block's attention and MLP run over tiles of tokens, the residual in place.

Beyond the paper, which keeps whole layers in memory: everything but attention's keys and values is
per token, so that norm, linear layers, GELU and residual addition of four tokens pass through a
tile and no tensor of the block ever exists. The integers stay the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from oplib.graph import Graph, Node
from oplib.ops.packing import QUAD

ATTENTION = ("layer_norm", "linear", "linear", "linear", "attention", "linear", "add")
FACTORS = (".qkv.v", ".proj.v", ".fc1.v", ".fc2.v")
MLP = ("layer_norm", "linear", "gelu", "linear", "add")


@dataclass(frozen=True)
class Variant:
    """How one block is scheduled.

    Args:
        group: heads at a time in a streamed attention; 0 keeps attention layer by layer.
        mlp: whether the MLP is streamed.
        tiled: whether layer-by-layer linears use a tile (twice as fast) or read rows in pairs.
    """

    group: int
    mlp: bool
    tiled: bool = True


def stream_tokens(graph: Graph, variants: Mapping[int, Variant]) -> Graph:
    """Return the graph with the blocks of `variants` streamed as they say.

    Blocks whose operators have no streamed kernel stay layer by layer.
    """
    nodes: list[Node] = []
    for section in _sections(graph.nodes):
        variant = variants.get(_block(section[0]))
        fused = None if variant is None else _fused(graph, section, variant)
        if fused is not None:
            nodes.append(fused)
        elif variant is None or variant.tiled:
            nodes += section
        else:
            nodes += [_untiled(node) for node in section]
    return replace(graph, nodes=tuple(nodes))


def streamable(graph: Graph, block: int) -> tuple[int, bool]:
    """Return the heads of a block's attention, 0 if it cannot stream, and whether the MLP can."""
    heads, mlp = 0, False
    for section in _sections(graph.nodes):
        if _block(section[0]) != block:
            continue
        found = _fused(graph, section, Variant(1, mlp=True))
        if found is not None and found.op == "attention_block":
            heads = found.int_attr("num_heads")
        mlp = mlp or (found is not None and found.op == "mlp_block")
    return heads, mlp


def _block(node: Node) -> int:
    parts = node.name.split(".")
    return int(parts[1]) if parts[0] == "blocks" else -1


def _sections(nodes: Sequence[Node]) -> list[list[Node]]:
    """Cut nodes into the halves of blocks, each from its norm to its addition, and the rest."""
    sections: list[list[Node]] = []
    for node in nodes:
        begins = node.name.endswith((".norm1", ".norm2")) and node.name.startswith("blocks.")
        ended = bool(sections) and _block(sections[-1][0]) != _block(node)
        if not sections or begins or ended:
            sections.append([])
        sections[-1].append(node)
    return sections


def _fused(graph: Graph, section: Sequence[Node], variant: Variant) -> Node | None:
    """Return the one node that streams a half of a block, or None where it stays as it is."""
    ops = tuple(node.op for node in section)
    ranks = {
        node.name.removesuffix(".v").rpartition(".")[2]: graph.tensors[node.output].shape[1]
        for node in section
        if node.name.endswith(FACTORS)
    }
    dense = tuple(op for op, node in zip(ops, section, strict=True) if not _is_factor(node))
    attrs: dict[str, int | float] = {}
    if dense == ATTENTION and variant.group:
        attention = next(node for node in section if node.op == "attention")
        heads = attention.int_attr("num_heads")
        head_dim = graph.tensors[attention.output].shape[1] // heads
        if head_dim % QUAD:
            return None
        attrs = {**attention.attrs, "head_dim": head_dim, "group": min(variant.group, heads)}
        attrs |= {f"{name}_rank": ranks.get(name, 0) for name in ("qkv", "proj")}
        op = "attention_block"
    elif dense == MLP and variant.mlp:
        gelu = next(node for node in section if node.op == "gelu")
        attrs = {"hidden": graph.tensors[gelu.output].shape[1]}
        attrs |= {f"{name}_rank": ranks.get(name, 0) for name in ("fc1", "fc2")}
        op = "mlp_block"
    else:
        return None
    last = section[-1]
    name = last.name.removesuffix(".add") + ".block"
    stream = section[0].inputs
    return Node(name, op, stream, last.output, attrs, overwrites=0, parts=tuple(section))


def _is_factor(node: Node) -> bool:
    return node.op == "linear" and node.name.endswith(FACTORS)


def _untiled(node: Node) -> Node:
    if node.op != "linear":
        return node
    return replace(node, attrs={**node.attrs, "tiled": 0})
