"""Placement against brute force, and plans of graphs by hand."""

from __future__ import annotations

from itertools import pairwise, permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from oplib.graph import NO_ATTRIBUTES, Graph, Node, TensorType
from oplib.plan.arena import Extent, Item, heap_blocks, place, place_exactly, plan_memory


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_the_integer_program_finds_the_optimum(data: st.DataObject) -> None:
    """First fit in the best of all orders is optimal: an optimum, sorted by offset, is one."""
    items = []
    for index in range(data.draw(st.integers(2, 5))):
        first = data.draw(st.integers(0, 4))
        last = data.draw(st.integers(first, 5))
        size = 8 * data.draw(st.integers(1, 9))
        items.append(Item(str(index), (Extent(0, size, first, last),)))

    def arena(order: tuple[Item, ...]) -> int:
        offsets = place(order)
        return max(offsets[item.key] + item.num_bytes for item in order)

    best = min(map(arena, permutations(items)))
    start = place(items)
    bound = max(sum(item.bytes_at(t) for item in items) for t in range(6))
    offsets, found, optimal = place_exactly(items, bound, start, arena(tuple(items)))
    assert optimal
    assert found == best
    assert max(offsets[item.key] + item.num_bytes for item in items) == best


def chain(*rows: int) -> Graph:
    """Return additions of a tensor to itself: x0 -> x1 -> ..., of so many bytes each."""
    names = [f"x{index}" for index in range(len(rows))]
    tensors = {name: TensorType((size, 1)) for name, size in zip(names, rows, strict=True)}
    nodes = [
        Node(f"n{index}", "add", (before, before), after, NO_ATTRIBUTES)
        for index, (before, after) in enumerate(pairwise(names))
    ]
    return Graph(tensors, tuple(nodes), names[0], names[-1])


def test_two_neighbours_live_at_a_time() -> None:
    """x0 and x2 share bytes, for x0 dies where x1 is written: the largest pair is the arena."""
    plan = plan_memory(chain(16, 40, 24, 8))
    assert (plan.arena_bytes, plan.lower_bound_bytes, plan.optimal) == (64, 64, True)
    spans = [(plan.offsets[f"x{i}"], size) for i, size in enumerate((16, 40, 24, 8))]
    for (low, size), (high, other) in pairwise(spans):
        assert low + size <= high or high + other <= low


def test_a_heap_block_has_no_padding() -> None:
    """A heap that checks its borders must know the exact size: 13 bytes, not 16."""
    blocks, sizes = heap_blocks(chain(13, 13))
    assert sizes == [13, 13]
    assert blocks == {"x0": (0, 0), "x1": (1, 0)}
