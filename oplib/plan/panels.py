"""Panels: how many tokens one pass over a call's weights serves, within a limit of memory.

A wider panel reads the weights fewer times and takes more scratch, which only its own call needs.
So the calls do not compete: each takes the widest panel that the limit leaves beside the tensors
that are live then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from oplib.graph import Graph, Node
from oplib.ops.base import align
from oplib.ops.registry import OPERATORS
from oplib.ops.work import Work
from oplib.plan.arena import live_bytes
from oplib.plan.time_model import node_work


@dataclass(frozen=True)
class Rung:
    """One size of a call's panel.

    Args:
        panel: tokens per pass over the weights; 0 for a call without a panel.
        live_bytes: bytes that are live during the call, its scratch included.
        work: modelled work of the call.
    """

    panel: int
    live_bytes: int
    work: Work


Ladder = tuple[Rung, ...]  # of one call, from the least panel


def ladders(calls: Graph) -> tuple[Ladder, ...]:
    """Return the sizes of panels that each call of a scheduled graph can have."""
    return tuple(
        tuple(_rungs(calls, node, live))
        for node, live in zip(calls.nodes, live_bytes(calls), strict=True)
    )


def _rungs(calls: Graph, node: Node, live: int) -> Iterator[Rung]:
    operator, inputs = OPERATORS[node.op], calls.inputs_of(node)
    sizes = operator.panel_sizes(node, inputs)
    if not sizes:
        yield Rung(0, live, node_work(calls, node))
    others = live - align(operator.scratch_bytes(node, inputs))
    for panel in sizes:
        wider = operator.with_panel(node, inputs, panel)
        scratch = align(operator.scratch_bytes(wider, inputs))
        yield Rung(panel, others + scratch, node_work(calls, wider))


def widest(calls: Iterable[Ladder], limit: int) -> tuple[Rung, ...]:
    """Return the widest panel of each call within a limit of live bytes, at least its first."""
    # Work falls from rung to rung, so the last that fits is the cheapest.
    return tuple(
        max((r for r in ladder if r.live_bytes <= limit), key=lambda r: r.panel, default=ladder[0])
        for ladder in calls
    )


def widen(calls: Graph, panels: Sequence[int]) -> Graph:
    """Return a scheduled graph with the given panel of each call; 0 leaves a call as it is."""
    nodes = (
        OPERATORS[node.op].with_panel(node, calls.inputs_of(node), panel) if panel else node
        for node, panel in zip(calls.nodes, panels, strict=True)
    )
    return replace(calls, nodes=tuple(nodes))
