"""Placement against brute force."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from oplib.plan.placement import Extent, Item, place, place_exactly


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
