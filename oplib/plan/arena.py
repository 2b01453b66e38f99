"""Memory plans: where every tensor and scratch buffer lies in the arena.

A buffer lives from the node that writes it to the last node that reads it. Tensors joined by
`overwrites` share one item, whose size may change from node to node. Offsets are found greedily;
where that misses the lower bound, an integer program looks for the optimum.
:mod:`oplib.plan.check_plan` proves plans by other means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from oplib.graph import Graph
from oplib.ops.base import ALIGNMENT, align
from oplib.ops.registry import OPERATORS

RESTARTS = 8
MILP_NODES = 2000  # of the branch and bound tree: a limit that is equal on every computer
SCRATCH = "scratch:"


@dataclass(frozen=True)
class Plan:
    """Byte offsets in the arena.

    Args:
        offsets: of each tensor that lies in the arena.
        scratch: of each node that needs scratch, by node name.
        arena_bytes: size of the arena.
        lower_bound_bytes: largest sum of simultaneously live bytes; no plan can be smaller.
        optimal: whether the arena is proved to be as small as any order of these buffers allows.
    """

    offsets: Mapping[str, int]
    scratch: Mapping[str, int]
    arena_bytes: int
    lower_bound_bytes: int
    optimal: bool


@dataclass(frozen=True)
class Extent:
    """Bytes [start, start + num_bytes) of an item during the nodes [first, last]."""

    start: int
    num_bytes: int
    first: int
    last: int

    @property
    def end(self) -> int:
        """The byte behind the last."""
        return self.start + self.num_bytes

    def meets(self, other: Extent) -> bool:
        """Tell whether both live at some node."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Item:
    """Buffers that lie at fixed distances from one another."""

    key: str
    extents: tuple[Extent, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes from the start to the last that is ever used."""
        return max(extent.end for extent in self.extents)

    @property
    def first(self) -> int:
        """The first node it lives at."""
        return min(extent.first for extent in self.extents)

    @property
    def last(self) -> int:
        """The last node it lives at."""
        return max(extent.last for extent in self.extents)

    def bytes_at(self, index: int) -> int:
        """Return how many bytes, from the item's start, are live at a node."""
        return max((e.end for e in self.extents if e.first <= index <= e.last), default=0)


def arena_tensors(graph: Graph) -> tuple[str, ...]:
    """Return the tensors that lie in the arena; an image handed over in strips does not."""
    names = dict.fromkeys(name for node in graph.nodes for name in (*node.inputs, node.output))
    handed_over = any(OPERATORS[node.op].fetches_image for node in graph.nodes)
    return tuple(name for name in names if not (handed_over and name == graph.input))


def heap_blocks(graph: Graph) -> tuple[dict[str, tuple[int, int]], list[int]]:
    """Return block and start of every tensor and scratch, and the exact size of each block.

    What the planner keeps together is one block, without padding: a heap that checks its borders
    finds an access beyond any of them.
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
        scratch = OPERATORS[node.op].scratch_bytes(node, graph.inputs_of(node))
        if scratch:
            blocks[f"{SCRATCH}{node.name}"] = len(sizes), 0
            sizes.append(scratch)
    return blocks, sizes


def plan_memory(graph: Graph) -> Plan:
    """Place every item greedily, in several orders; then exactly, where the bound is not reached.

    Each order is improved by putting the items that end highest in front and placing again, until
    the lower bound is reached or nothing is gained for a while.
    """
    places = _places(graph)
    items = _items(graph, places)
    bound = max(sum(item.bytes_at(index) for item in items) for index in range(len(graph.nodes)))
    best: dict[str, int] = {}
    best_bytes = -1
    for key in ORDERS:
        order = sorted(items, key=key)
        for _ in range(RESTARTS):
            offsets = place(order)
            ends = {item.key: offsets[item.key] + item.num_bytes for item in order}
            used = max(ends.values())
            if best_bytes < 0 or used < best_bytes:
                best, best_bytes = offsets, used
            if best_bytes == bound:
                break
            order.sort(key=lambda item: ends[item.key] != used)  # stable: the highest first
    optimal = best_bytes == bound
    if not optimal:
        best, best_bytes, optimal = place_exactly(items, bound, best, best_bytes)
    tensors = {name: best[root] + start for name, (root, start) in places.items()}
    scratch = {k.removeprefix(SCRATCH): at for k, at in best.items() if k.startswith(SCRATCH)}
    return Plan(tensors, scratch, best_bytes, bound, optimal)


ORDERS: tuple[Callable[[Item], tuple[int, int]], ...] = (
    lambda item: (-item.num_bytes, item.first),
    lambda item: (-item.num_bytes * (item.last - item.first + 1), item.first),
    lambda item: (item.first, -item.num_bytes),
    lambda item: (item.first - item.last, -item.num_bytes),
)


def _places(graph: Graph) -> dict[str, tuple[str, int]]:
    """Return, for each tensor, the item it lies in and where it starts there."""
    names = arena_tensors(graph)
    relative = {name: (name, 0) for name in names}
    for node in graph.nodes:
        if node.overwrites is not None:
            root, start = relative[node.inputs[node.overwrites]]
            relative[node.output] = root, start - node.below
    roots = {root for root, _ in relative.values()}
    lowest = {root: min(s for r, s in relative.values() if r == root) for root in roots}
    return {name: (root, start - lowest[root]) for name, (root, start) in relative.items()}


def _items(graph: Graph, places: Mapping[str, tuple[str, int]]) -> list[Item]:
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
    items = [Item(root, tuple(found)) for root, found in extents.items()]
    for index, node in enumerate(graph.nodes):
        scratch = OPERATORS[node.op].scratch_bytes(node, graph.inputs_of(node))
        if scratch:
            key = f"{SCRATCH}{node.name}"
            items.append(Item(key, (Extent(0, align(scratch), index, index),)))
    return items


def place(order: Sequence[Item]) -> dict[str, int]:
    """Put each item at the lowest offset where it meets no placed one that lives with it."""
    placed: list[tuple[int, Extent]] = []
    offsets = {}
    for item in order:
        forbidden = sorted(
            (at + other.start - mine.end, at + other.end - mine.start)
            for at, other in placed
            for mine in item.extents
            if mine.meets(other)
        )
        offset = _lowest_free(forbidden)
        offsets[item.key] = offset
        placed += [(offset, extent) for extent in item.extents]
    return offsets


def _lowest_free(forbidden: Sequence[tuple[int, int]]) -> int:
    """Return the smallest offset that lies in none of the open intervals, sorted by their start."""
    offset = 0
    for low, high in forbidden:
        if low < offset < high:
            offset = high
    return offset


def place_exactly(
    items: Sequence[Item], bound: int, greedy: dict[str, int], greedy_bytes: int
) -> tuple[dict[str, int], int, bool]:
    """Return the smallest arena's offsets, its size and whether it is proved to be smallest.

    An integer program: offsets in units of the alignment, and for every two extents that live
    together a choice of which is below (Gergov, 1999, calls the problem dynamic storage
    allocation).
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    pairs = [
        (i, a, j, b)
        for (i, one), (j, other) in combinations(enumerate(items), 2)
        for a in one.extents
        for b in other.extents
        if a.meets(b)
    ]
    count, top = len(items), greedy_bytes // ALIGNMENT
    free = 2 * top  # relaxes a distance that was not chosen
    size = count + 1 + len(pairs)  # offsets, the arena, choices
    rows, lower = [], []
    for i, item in enumerate(items):  # arena - offset >= size
        row = np.zeros(size)
        row[count], row[i] = 1, -1
        rows.append(row)
        lower.append(item.num_bytes / ALIGNMENT)
    for k, (i, a, j, b) in enumerate(pairs):
        for low, below, high, above, chosen in ((i, a, j, b, 0), (j, b, i, a, 1)):
            row = np.zeros(size)  # where chosen: offset of the upper - of the lower >= the distance
            row[high], row[low] = 1, -1
            row[count + 1 + k] = free if chosen == 0 else -free
            rows.append(row)
            lower.append((below.end - above.start) / ALIGNMENT - chosen * free)
    objective = np.zeros(size)
    objective[count] = 1
    limits = Bounds(
        np.concatenate([np.zeros(count), [bound / ALIGNMENT], np.zeros(len(pairs))]),
        np.concatenate([np.full(count + 1, top), np.ones(len(pairs))]),
    )
    found = milp(
        objective,
        constraints=LinearConstraint(np.array(rows), np.array(lower), np.inf),
        integrality=np.ones(size, dtype=np.int64),
        bounds=limits,
        options={"node_limit": MILP_NODES, "mip_rel_gap": 0.0},
    )
    if found.x is None:
        return greedy, greedy_bytes, False
    arena = round(found.x[count]) * ALIGNMENT
    if arena >= greedy_bytes:
        return greedy, greedy_bytes, found.status == 0
    offsets = {item.key: round(found.x[i]) * ALIGNMENT for i, item in enumerate(items)}
    return offsets, arena, found.status == 0
