"""Plans of graphs by hand."""

from __future__ import annotations

from itertools import pairwise

from oplib.graph import NO_ATTRIBUTES, Graph, Node, TensorType
from oplib.plan.arena import heap_blocks, plan_memory


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
