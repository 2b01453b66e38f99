"""What a schedule costs in time: instructions and flash traffic, modelled from counts.

The model ranks variants of a schedule; it is no measurement. Its constants are instructions on a
Cortex-M7, rounded, from ``tools/bench_kernels.py``.
"""

from __future__ import annotations

from oplib.graph import Graph, Node
from oplib.ops.base import ArraySpec
from oplib.ops.packing import TILE
from oplib.ops.registry import OPERATORS

MAC, MAC_UNTILED = 0.87, 1.6
OUTPUT = 7.0  # requantised and stored
PACK = 1.2  # an element into a tile
PACK_BYTEWISE = 9.0  # a key or value into weight layout
NORM = 12.0
SOFTMAX = 8.5  # a score, with its requantisation
ELEMENT = 8.0  # an addition or a GELU on its own
EPILOGUE = 3.0  # the same in an epilogue


def modelled_instructions(graph: Graph) -> int:
    """Return the modelled instructions of a scheduled graph."""
    return round(sum(_instructions(graph, node) for node in graph.nodes))


def flash_bytes_read(graph: Graph) -> int:
    """Return the bytes of constants that a scheduled graph reads, every tile reading them anew."""
    return sum(_flash(graph, node) for node in graph.nodes)


def _tokens(graph: Graph, node: Node) -> int:
    shape = graph.tensors[node.output].shape
    return shape[0] if len(shape) > 1 else 1


def _repeats(node: Node, part: Node) -> int:
    """Return how often a part of a streamed attention is computed for every token."""
    if node.op != "attention_block" or part.op not in ("layer_norm", "linear"):
        return 1
    if part.op == "linear" and not part.name.endswith(".qkv.v"):
        return 1
    heads, group = node.int_attr("num_heads"), node.int_attr("group")
    return -(-heads // group) + 1  # each group once, and the last one's queries


def _instructions(graph: Graph, node: Node) -> float:
    return sum(_part_instructions(graph, node, part) * _repeats(node, part) for part in node.leaves)


def _part_instructions(graph: Graph, node: Node, part: Node) -> float:
    kind, source = graph.tensors[part.output], graph.tensors[part.inputs[0]]
    streamed = node.op in ("attention_block", "mlp_block")  # the tile is there already
    if part.op.startswith(("linear", "classifier", "patch_embed", "conv_pool")):
        weights = next(s for s in array_specs(graph, part) if s.name == "weight").num_bytes
        places = graph.tensors[part.output].size // part.int_attr("out_features")
        untiled = 0 if part.attrs.get("tiled", 1) and part.op != "classifier" else places
        untiled = min(places, int(part.attrs.get("tile_from", untiled)))
        products = weights * (MAC * (places - untiled) + MAC_UNTILED * untiled)
        pack = 0.0 if streamed else PACK * places * weights / part.int_attr("out_features")
        return products + OUTPUT * kind.size + pack
    if part.op.startswith("attention"):
        tokens = kind.shape[0]
        scores = part.int_attr("num_heads") * tokens**2
        pack = 0.0 if streamed else PACK_BYTEWISE * 2 * kind.size
        return 2 * MAC * tokens * kind.size + SOFTMAX * scores + OUTPUT * kind.size + pack
    if part.op.startswith("layer_norm"):
        return NORM * source.size
    return (EPILOGUE if node.parts else ELEMENT) * source.size


def array_specs(graph: Graph, node: Node) -> tuple[ArraySpec, ...]:
    """Return the constant arrays of a node that owns some."""
    return OPERATORS[node.op].array_specs(node, graph.inputs_of(node))


def _flash(graph: Graph, node: Node) -> int:
    total = 0
    for part in node.leaves:
        size = sum(spec.num_bytes for spec in array_specs(graph, part))
        rows = _tokens(graph, part)
        if part.op in ("layer_norm", "layer_norm_s16"):
            total += size * rows * _repeats(node, part)
        elif part.op.startswith(("linear", "patch_embed")):
            step = TILE if part.attrs.get("tiled", 1) else 2
            total += size * -(-rows // step) * _repeats(node, part)
        else:
            total += size
    return total
