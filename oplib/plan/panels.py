"""Panels: how many tokens one pass over a call's weights serves, within a limit of memory.

A wider panel reads the weights fewer times and takes more scratch, which only its own call needs.
So the calls do not compete: each takes the widest panel for which the fast arena has room, or else
the arena beside the tensors that are live then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from oplib.graph import Graph, Node
from oplib.ops.base import align
from oplib.ops.registry import OPERATORS
from oplib.ops.work import Work
from oplib.plan.arena import is_fast, scratch_bytes, tensor_bytes
from oplib.plan.time_model import node_work

EVICTION = 4  # DeiT-Tiny with panels in cached memory: 25 MB are counted and 112 MB read


@dataclass(frozen=True)
class Rung:
    """One size of a call's panel.

    Args:
        panel: tokens per pass over the weights; 0 for a call without a panel.
        tensor_bytes: bytes of the tensors in the arena that are live during the call.
        scratch_bytes: bytes of the call's scratch.
        work: modelled work of the call.
    """

    panel: int
    tensor_bytes: int
    scratch_bytes: int
    work: Work

    def arena_bytes(self, fast_room: int) -> int:
        """Return the bytes that are live in the arena, given the fast arena's room for scratch."""
        fast = is_fast(self.scratch_bytes, fast_room)
        return self.tensor_bytes + (0 if fast else self.scratch_bytes)


Ladder = tuple[Rung, ...]  # of one call, from the least panel


def ladders(calls: Graph, *, stream_is_fast: bool = False) -> tuple[Ladder, ...]:
    """Return the sizes of panels that each call of a scheduled graph can have.

    Args:
        calls: the graph.
        stream_is_fast: whether the residual stream lies in the fast arena.
    """
    tensors = tensor_bytes(calls, stream_is_fast=stream_is_fast)
    return tuple(
        tuple(_rungs(calls, node, live)) for node, live in zip(calls.nodes, tensors, strict=True)
    )


def _rungs(calls: Graph, node: Node, tensors: int) -> Iterator[Rung]:
    operator, inputs = OPERATORS[node.op], calls.inputs_of(node)
    sizes = operator.panel_sizes(node, inputs)
    if not sizes:
        yield Rung(0, tensors, align(scratch_bytes(calls, node)), node_work(calls, node))
    for panel in sizes:
        wider = operator.with_panel(node, inputs, panel)
        scratch = align(scratch_bytes(calls, wider))
        yield Rung(panel, tensors, scratch, node_work(calls, wider))


def widest(calls: Iterable[Ladder], limit: int, fast_room: int = 0) -> tuple[Rung, ...]:
    """Return the widest panel of each call within a limit of live bytes, at least its first.

    Args:
        calls: the possible panels of each call.
        limit: largest number of bytes that are live in the arena.
        fast_room: bytes of the fast arena that are left for scratch.
    """
    return tuple(_widest(ladder, limit, fast_room) for ladder in calls)


def _widest(ladder: Ladder, limit: int, fast_room: int) -> Rung:
    # Work falls from rung to rung, so the last that fits is the cheapest. But a panel in the arena
    # drives weights out of a data cache, so one in the fast arena is preferred to a wider one.
    fitting = [rung for rung in ladder if rung.arena_bytes(fast_room) <= limit] or [ladder[0]]
    fast = [rung for rung in fitting if is_fast(rung.scratch_bytes, fast_room)]
    if fast and fast[-1].work.bytes_read <= EVICTION * fitting[-1].work.bytes_read:
        return fast[-1]
    return fitting[-1]


def widen(calls: Graph, panels: Sequence[int]) -> Graph:
    """Return a scheduled graph with the given panel of each call; 0 leaves a call as it is."""
    nodes = (
        OPERATORS[node.op].with_panel(node, calls.inputs_of(node), panel) if panel else node
        for node, panel in zip(calls.nodes, panels, strict=True)
    )
    return replace(calls, nodes=tuple(nodes))
