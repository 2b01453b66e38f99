"""Offsets of buffers that live at different times, in as few bytes as possible.

The problem is known as dynamic storage allocation (Gergov, 1999). Offsets are found greedily; where
that misses the packing bound, an integer program searches for the optimum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from oplib.ops.base import ALIGNMENT, Array

RESTARTS = 8
MILP_NODES = 2000  # limit of the branch-and-bound tree; unlike a time limit, the same everywhere


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

    @cached_property
    def num_bytes(self) -> int:
        """Bytes from the start to the end of the last extent."""
        return max(extent.end for extent in self.extents)

    @cached_property
    def first(self) -> int:
        """Index of the first node at which the item is live."""
        return min(extent.first for extent in self.extents)

    @cached_property
    def last(self) -> int:
        """Index of the last node at which the item is live."""
        return max(extent.last for extent in self.extents)

    def bytes_at(self, index: int) -> int:
        """Return how many bytes, from the item's start, are live at a node."""
        return max((e.end for e in self.extents if e.first <= index <= e.last), default=0)


ORDERS: tuple[Callable[[Item], tuple[int, int]], ...] = (
    lambda item: (-item.num_bytes, item.first),
    lambda item: (-item.num_bytes * (item.last - item.first + 1), item.first),
    lambda item: (item.first, -item.num_bytes),
    lambda item: (item.first - item.last, -item.num_bytes),
)


def pack(items: Sequence[Item], bound: int) -> tuple[dict[str, int], int, bool]:
    """Place every item greedily, in several orders; exactly where none reaches the packing bound.

    Args:
        items: what is placed.
        bound: packing bound in bytes: the largest sum of bytes that are live at a time.

    Returns:
        Offsets, the bytes that they take together, and whether that is proved to be the least.
    """
    # The bytes that are live at one node must all fit at once: the largest such sum bounds every
    # plan from below. A greedy plan that reaches it is optimal. Otherwise the items that end at the
    # top go first, because they found the low offsets taken, and all are placed again.
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
            order.sort(key=lambda item: ends[item.key] != top)  # the others keep their order
        if best_bytes == bound:
            break
    optimal = best_bytes == bound
    if not optimal:
        best, best_bytes, optimal = place_exactly(items, bound, best, best_bytes)
    return best, best_bytes, optimal


def place(order: Sequence[Item]) -> dict[str, int]:
    """Put each item, in order, at the lowest offset that no item live at the same time occupies."""
    placed: list[tuple[int, int, int, int]] = []  # bytes [start, end) in nodes [first, last]
    offsets = {}
    for item in order:
        forbidden = []
        for mine in item.extents:
            first, last = mine.first, mine.last
            below, above = mine.start + mine.num_bytes, mine.start
            # At offset o, [o + above, o + below) meets [start, end) exactly for o in this interval.
            forbidden += [
                (start - below, end - above)
                for start, end, begins, ends in placed
                if begins <= last and first <= ends
            ]
        offset = _lowest_free(sorted(forbidden))
        offsets[item.key] = offset
        placed += [
            (offset + extent.start, offset + extent.end, extent.first, extent.last)
            for extent in item.extents
        ]
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
