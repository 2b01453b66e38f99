"""Memory plans: the offset of every tensor and scratch buffer in its arena.

A device with a second region of SRAM has two arenas. The fast arena holds the residual stream, if
it is given that, and behind it the scratch of every call that has room there: no two calls use
scratch at once. Everything else is placed in the arena.

A buffer is live from the node that writes it to the last node that reads it. Tensors joined by
`overwrites` share one item, whose size may change from node to node. Offsets are found greedily;
where that misses the packing bound, an integer program searches for the optimum.
:mod:`oplib.plan.check_plan` proves plans independently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from oplib.graph import Graph, Node
from oplib.ops.base import ALIGNMENT, Array, align
from oplib.ops.registry import OPERATORS

RESTARTS = 8
MILP_NODES = 2000  # limit of the branch-and-bound tree; unlike a time limit, the same everywhere
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


@dataclass(frozen=True)
class Extent:
    """Bytes [start, start + num_bytes) of an item during the nodes [first, last]."""

    start: int
    num_bytes: int
    first: int
    last: int

    @property
    def end(self) -> int:
        """One past the last byte."""
        return self.start + self.num_bytes

    def meets(self, other: Extent) -> bool:
        """Return whether both are live at some node."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Item:
    """Buffers at fixed distances from one another, which are placed as one."""

    key: str
    extents: tuple[Extent, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes from the start to the end of the last extent."""
        return max(extent.end for extent in self.extents)

    @property
    def first(self) -> int:
        """Index of the first node at which the item is live."""
        return min(extent.first for extent in self.extents)

    @property
    def last(self) -> int:
        """Index of the last node at which the item is live."""
        return max(extent.last for extent in self.extents)

    def bytes_at(self, index: int) -> int:
        """Return how many bytes, from the item's start, are live at a node."""
        return max((e.end for e in self.extents if e.first <= index <= e.last), default=0)


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
    """Place every item greedily, in several orders; exactly where none reaches the packing bound.

    Args:
        graph: a scheduled graph, whose nodes are kernel calls.
        fast: what the fast arena may hold.
    """
    # The bytes that are live at one node must all fit at once: the largest such sum bounds every
    # plan from below. A greedy plan that reaches it is optimal. Otherwise the items that end at the
    # top go first, because they found the low offsets taken, and all are placed again.
    places = _places(graph)
    every = _tensor_items(graph, places)
    stream = _stream(graph, every) if fast.stream else None
    begin = 0 if stream is None else stream.num_bytes
    room = fast.num_bytes - begin
    items = [item for item in every if item != stream] + _scratch_items(graph, room)
    bound = max(_live_bytes(graph, items))
    best: dict[str, int] = {}
    best_bytes = -1
    for key in ORDERS:
        order = sorted(items, key=key)
        for _ in range(RESTARTS):
            offsets = place(order)
            ends = {item.key: offsets[item.key] + item.num_bytes for item in order}
            top = max(ends.values())
            if best_bytes < 0 or top < best_bytes:
                best, best_bytes = offsets, top
            if best_bytes == bound:
                break
            order.sort(
                key=lambda item: ends[item.key] != top
            )  # stable: the others keep their order
    optimal = best_bytes == bound
    if not optimal:
        best, best_bytes, optimal = place_exactly(items, bound, best, best_bytes)
    tensors = {name: best.get(root, 0) + start for name, (root, start) in places.items()}
    scratch = {
        key.removeprefix(SCRATCH): offset for key, offset in best.items() if key.startswith(SCRATCH)
    }
    nodes = [node for node in graph.nodes if is_fast(scratch_bytes(graph, node), room)]
    return Plan(
        offsets=tensors,
        scratch=scratch | {node.name: begin for node in nodes},
        arena_bytes=best_bytes,
        lower_bound_bytes=bound,
        optimal=optimal,
        fast_tensors=frozenset(name for name, (root, _) in places.items() if root not in best),
        fast_scratch=frozenset(node.name for node in nodes),
        fast_bytes=fast_bytes(graph, nodes, fast),
    )


ORDERS: tuple[Callable[[Item], tuple[int, int]], ...] = (
    lambda item: (-item.num_bytes, item.first),
    lambda item: (-item.num_bytes * (item.last - item.first + 1), item.first),
    lambda item: (item.first, -item.num_bytes),
    lambda item: (item.first - item.last, -item.num_bytes),
)


def tensor_bytes(graph: Graph, *, stream_is_fast: bool) -> list[int]:
    """Return the bytes of the tensors in the arena that are live at each node."""
    items = _tensor_items(graph, _places(graph))
    stream = _stream(graph, items) if stream_is_fast else None
    return _live_bytes(graph, [item for item in items if item != stream])


def _live_bytes(graph: Graph, items: Sequence[Item]) -> list[int]:
    return [sum(item.bytes_at(index) for item in items) for index in range(len(graph.nodes))]


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


def place(order: Sequence[Item]) -> dict[str, int]:
    """Put each item, in order, at the lowest offset that no item live at the same time occupies."""
    placed: list[tuple[int, Extent]] = []
    offsets = {}
    for item in order:
        # At offset o, [o + mine.start, o + mine.end) meets [base + other.start, base + other.end)
        # exactly for o in this open interval.
        forbidden = sorted(
            (base + other.start - mine.end, base + other.end - mine.start)
            for base, other in placed
            for mine in item.extents
            if mine.meets(other)
        )
        offset = _lowest_free(forbidden)
        offsets[item.key] = offset
        placed += [(offset, extent) for extent in item.extents]
    return offsets


def _lowest_free(forbidden: Sequence[tuple[int, int]]) -> int:
    """Return the smallest offset in none of the open intervals, which are sorted by their start."""
    offset = 0
    for low, high in forbidden:
        if low < offset < high:
            offset = high
    return offset


_Pair = tuple[int, Extent, int, Extent]  # two items, and an extent of each, live together


def place_exactly(
    items: Sequence[Item], bound: int, greedy: dict[str, int], greedy_bytes: int
) -> tuple[dict[str, int], int, bool]:
    """Search for the smallest arena by an integer program.

    The problem is known as dynamic storage allocation (Gergov, 1999).

    Args:
        items: what is placed.
        bound: packing bound in bytes.
        greedy: offsets of the best greedy plan.
        greedy_bytes: arena of that plan, an upper bound.

    Returns:
        Offsets, the arena's bytes, and whether they are proved to be the smallest.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    pairs: list[_Pair] = [
        (i, a, j, b)
        for (i, one), (j, other) in combinations(enumerate(items), 2)
        for a in one.extents
        for b in other.extents
        if a.meets(b)
    ]
    count, top = len(items), greedy_bytes // ALIGNMENT
    num_variables = count + 1 + len(pairs)  # offsets, the arena, choices
    rows, lower = _constraints(items, pairs, top)
    objective = np.zeros(num_variables)
    objective[count] = 1
    limits = Bounds(
        np.concatenate([np.zeros(count), [bound / ALIGNMENT], np.zeros(len(pairs))]),
        np.concatenate([np.full(count + 1, top), np.ones(len(pairs))]),
    )
    solution = milp(
        objective,
        constraints=LinearConstraint(rows, lower, np.inf),
        integrality=np.ones(num_variables, dtype=np.int64),
        bounds=limits,
        options={"node_limit": MILP_NODES, "mip_rel_gap": 0.0},
    )
    if solution.x is None:
        return greedy, greedy_bytes, False
    proved = solution.status == 0  # else the node limit ended the search
    arena = round(solution.x[count]) * ALIGNMENT
    if arena >= greedy_bytes:
        return greedy, greedy_bytes, proved
    offsets = {item.key: round(solution.x[i]) * ALIGNMENT for i, item in enumerate(items)}
    return offsets, arena, proved


def _constraints(items: Sequence[Item], pairs: Sequence[_Pair], top: int) -> tuple[Array, Array]:
    """Return the rows and lower bounds of the integer program's inequalities."""
    # Variables, in units of the alignment: offset o_i of each item, the arena A, and for each pair
    # (extent a of item i, b of item j) a choice c in {0, 1} of the lower one. Minimise A subject to
    #   A - o_i >= size_i
    #   o_j - o_i + M c       >= a.end - b.start    c = 0: a is below b
    #   o_i - o_j + M (1 - c) >= b.end - a.start    c = 1: b is below a
    # Offsets and distances are at most `top`, the greedy arena: with M = 2 top the inequality that
    # is not chosen holds for all offsets.
    count, big_m = len(items), 2 * top
    num_variables = count + 1 + len(pairs)
    rows, lower = [], []
    for i, item in enumerate(items):
        row = np.zeros(num_variables)
        row[count], row[i] = 1, -1
        rows.append(row)
        lower.append(item.num_bytes / ALIGNMENT)
    for k, (i, a, j, b) in enumerate(pairs):
        for low, below, high, above, chosen in ((i, a, j, b, 0), (j, b, i, a, 1)):
            row = np.zeros(num_variables)
            row[high], row[low] = 1, -1
            row[count + 1 + k] = big_m if chosen == 0 else -big_m
            rows.append(row)
            lower.append((below.end - above.start) / ALIGNMENT - chosen * big_m)
    return np.array(rows), np.array(lower)
