"""Memory plans: the offset of every tensor and scratch buffer in its arena.

A device with a second region of SRAM has two arenas. The fast arena holds the residual stream, if
it is given that, and behind it the scratch of every call that has room there: no two calls use
scratch at once. Everything else is placed in the arena.

A buffer is live from the node that writes it to the last node that reads it. Tensors joined by
`overwrites` share one item, whose size may change from node to node. :mod:`oplib.plan.placement`
finds the offsets, and :mod:`oplib.plan.check_plan` proves plans independently.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from oplib.graph import Graph, Node
from oplib.ops.base import align
from oplib.ops.registry import OPERATORS
from oplib.plan.placement import Extent, Item, pack

SCRATCH = "scratch:"


@dataclass(frozen=True)
class FastRoom:
    """What a plan may put into the fast arena.

    Args:
        num_bytes: largest size of the fast arena; 0 without one.
        stream: whether the residual stream lies there, if it does not share memory with the image.
    """

    num_bytes: int = 0
    stream: bool = False


ONE_ARENA = FastRoom()


@dataclass(frozen=True)
class Plan:
    """Byte offsets in the arena and the fast arena.

    Args:
        offsets: offset of each tensor in its arena, by tensor name.
        scratch: offset of the scratch of each node that needs some, by node name.
        arena_bytes: size of the arena.
        lower_bound_bytes: the packing bound, the largest sum of bytes that are live at a time; no
            placement of these buffers can be smaller, but another schedule may be.
        optimal: whether the arena is proved to be the smallest for these buffers.
        fast_tensors: names of the tensors in the fast arena.
        fast_scratch: names of the nodes whose scratch is there.
        fast_bytes: size of the fast arena.
    """

    offsets: Mapping[str, int]
    scratch: Mapping[str, int]
    arena_bytes: int
    lower_bound_bytes: int
    optimal: bool
    fast_tensors: frozenset[str] = frozenset()
    fast_scratch: frozenset[str] = frozenset()
    fast_bytes: int = 0


def arena_tensors(graph: Graph) -> tuple[str, ...]:
    """Return the names of the tensors in an arena: all but an image supplied in strips."""
    names = dict.fromkeys(name for node in graph.nodes for name in (*node.inputs, node.output))
    fetched = any(OPERATORS[node.op].fetches_image for node in graph.nodes)
    return tuple(name for name in names if not (fetched and name == graph.input))


def heap_blocks(graph: Graph) -> tuple[dict[str, tuple[int, int]], list[int]]:
    """Return (block, start) of every tensor and scratch buffer, and the exact size of each block.

    Buffers of one item share a block, without padding; all others have a block of their own, so
    that a heap with guarded borders finds every access beyond one.
    """
    places = _places(graph)
    sizes: list[int] = []
    blocks: dict[str, tuple[int, int]] = {}
    numbers: dict[str, int] = {}
    for name, (root, start) in places.items():
        number = numbers.setdefault(root, len(numbers))
        if number == len(sizes):
            sizes.append(0)
        sizes[number] = max(sizes[number], start + graph.tensors[name].num_bytes)
        blocks[name] = number, start
    for node in graph.nodes:
        scratch = scratch_bytes(graph, node)
        if scratch:
            blocks[f"{SCRATCH}{node.name}"] = len(sizes), 0
            sizes.append(scratch)
    return blocks, sizes


def scratch_bytes(graph: Graph, node: Node) -> int:
    """Return the bytes of a call's scratch."""
    return OPERATORS[node.op].scratch_bytes(node, graph.inputs_of(node))


def is_fast(num_bytes: int, room: int) -> bool:
    """Return whether scratch of so many bytes lies in the fast arena, with so much room for it."""
    return 0 < align(num_bytes) <= room


def fast_bytes(graph: Graph, nodes: Iterable[Node], fast: FastRoom) -> int:
    """Return the bytes of the fast arena that the stream and the scratch of some nodes need."""
    stream = stream_bytes(graph) if fast.stream else 0
    sizes = [align(scratch_bytes(graph, node)) for node in nodes]
    room = fast.num_bytes - stream
    return stream + max((size for size in sizes if is_fast(size, room)), default=0)


def stream_bytes(graph: Graph) -> int:
    """Return the bytes of the residual stream, 0 if it shares memory with the image."""
    stream = _stream(graph, _tensor_items(graph, _places(graph)))
    return 0 if stream is None else stream.num_bytes


def plan_memory(graph: Graph, fast: FastRoom = ONE_ARENA) -> Plan:
    """Return the plan of a graph: the smallest arena that is found, and what lies in the fast one.

    Args:
        graph: a scheduled graph, whose nodes are kernel calls.
        fast: what the fast arena may hold.
    """
    places = _places(graph)
    every = _tensor_items(graph, places)
    stream = _stream(graph, every) if fast.stream else None
    begin = 0 if stream is None else stream.num_bytes
    room = fast.num_bytes - begin
    items = [item for item in every if item != stream] + _scratch_items(graph, room)
    bound = max(_live_bytes(graph, items))
    best, arena_bytes, optimal = pack(items, bound)
    tensors = {name: best.get(root, 0) + start for name, (root, start) in places.items()}
    scratch = {
        key.removeprefix(SCRATCH): offset for key, offset in best.items() if key.startswith(SCRATCH)
    }
    nodes = [node for node in graph.nodes if is_fast(scratch_bytes(graph, node), room)]
    return Plan(
        offsets=tensors,
        scratch=scratch | {node.name: begin for node in nodes},
        arena_bytes=arena_bytes,
        lower_bound_bytes=bound,
        optimal=optimal,
        fast_tensors=frozenset(name for name, (root, _) in places.items() if root not in best),
        fast_scratch=frozenset(node.name for node in nodes),
        fast_bytes=fast_bytes(graph, nodes, fast),
    )


def tensor_bytes(graph: Graph, *, stream_is_fast: bool) -> list[int]:
    """Return the bytes of the tensors in the arena that are live at each node."""
    items = _tensor_items(graph, _places(graph))
    stream = _stream(graph, items) if stream_is_fast else None
    return _live_bytes(graph, [item for item in items if item != stream])


def _live_bytes(graph: Graph, items: Sequence[Item]) -> list[int]:
    live = [0] * len(graph.nodes)
    for item in items:
        for index in range(item.first, item.last + 1):
            live[index] += item.bytes_at(index)
    return live


def _places(graph: Graph) -> dict[str, tuple[str, int]]:
    """Return the item of each tensor and the byte at which the tensor starts in it."""
    # A tensor that overwrites another belongs to the same item and starts `below` bytes before it.
    # Chains of overwriting may go below the first tensor's start; the lowest start becomes 0.
    names = arena_tensors(graph)
    relative = {name: (name, 0) for name in names}
    for node in graph.nodes:
        if node.overwrites is not None:
            root, start = relative[node.inputs[node.overwrites]]
            relative[node.output] = root, start - node.below
    roots = {root for root, _ in relative.values()}
    lowest = {root: min(s for r, s in relative.values() if r == root) for root in roots}
    return {name: (root, start - lowest[root]) for name, (root, start) in relative.items()}


def _scratch_items(graph: Graph, fast_room: int) -> list[Item]:
    """Return the scratch in the arena as items: what has no room in the fast arena."""
    sizes = [align(scratch_bytes(graph, node)) for node in graph.nodes]
    return [
        Item(f"{SCRATCH}{node.name}", (Extent(0, size, index, index),))
        for index, (node, size) in enumerate(zip(graph.nodes, sizes, strict=True))
        if size and not is_fast(size, fast_room)
    ]


def _stream(graph: Graph, items: Sequence[Item]) -> Item | None:
    """Return the item of the residual stream: the one that outlives every block.

    There is none where blocks do not write their output over their input, and where the stream
    takes over the memory of the image, which must stay where DMA reaches it.
    """
    inside = [index for index, node in enumerate(graph.nodes) if node.place is not None]
    if not inside:
        return None
    outliving = (item for item in items if item.first < inside[0] and item.last > inside[-1])
    return next((item for item in outliving if item.key != graph.input), None)


def _tensor_items(graph: Graph, places: Mapping[str, tuple[str, int]]) -> list[Item]:
    """Return the tensors of the arena as items, with their lifetimes."""
    first = {graph.input: 0} | {node.output: i for i, node in enumerate(graph.nodes)}
    last = {
        name: index
        for index, node in enumerate(graph.nodes)
        for name in (*node.inputs, node.output)
    }
    last[graph.output] = len(graph.nodes) - 1
    extents: dict[str, list[Extent]] = {}
    for name, (root, start) in places.items():
        size = align(graph.tensors[name].num_bytes)
        extents.setdefault(root, []).append(Extent(start, size, first[name], last[name]))
    return [Item(root, tuple(members)) for root, members in extents.items()]
