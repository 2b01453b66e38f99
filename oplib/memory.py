"""Memory plans: where every tensor and scratch buffer lies in the arena, and an independent check.

A buffer lives from the node that writes it to the last node that reads it. Tensors joined by
`overwrites` share one buffer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mcuformer.errors import PlanError
from oplib.graph import Graph
from oplib.operator import align
from oplib.ops import OPERATORS

RESTARTS = 8


@dataclass(frozen=True)
class Plan:
    """Byte offsets in the arena.

    Args:
        offsets: of each tensor.
        scratch: of each node that needs scratch, by node name.
        arena_bytes: size of the arena.
        lower_bound_bytes: largest sum of simultaneously live bytes; no plan can be smaller.
    """

    offsets: Mapping[str, int]
    scratch: Mapping[str, int]
    arena_bytes: int
    lower_bound_bytes: int


@dataclass(frozen=True)
class _Buffer:
    key: str
    num_bytes: int
    first: int
    last: int


def plan_memory(graph: Graph) -> Plan:
    """Place every buffer greedily, in several orders, and keep the smallest arena.

    Each order is improved by putting the buffers that end highest in front and placing again, until
    the lower bound is reached or nothing is gained for a while.
    """
    roots = _roots(graph)
    buffers = _buffers(graph, roots)
    bound = _lower_bound(buffers, len(graph.nodes))
    best: dict[str, int] = {}
    best_bytes = -1
    for key in (_by_size, _by_area, _by_time, _by_length):
        order = sorted(buffers, key=key)
        for _ in range(RESTARTS):
            offsets = _place(order)
            ends = {buffer.key: offsets[buffer.key] + buffer.num_bytes for buffer in order}
            used = max(ends.values())
            if best_bytes < 0 or used < best_bytes:
                best, best_bytes = offsets, used
            if best_bytes == bound:
                break
            order.sort(key=lambda buffer: ends[buffer.key] != used)  # stable: the highest first
    return Plan(
        offsets={name: best[root] for name, root in roots.items()},
        scratch={key.removeprefix("scratch:"): at for key, at in best.items() if ":" in key},
        arena_bytes=best_bytes,
        lower_bound_bytes=bound,
    )


def _by_size(buffer: _Buffer) -> tuple[int, int]:
    return -buffer.num_bytes, buffer.first


def _by_area(buffer: _Buffer) -> tuple[int, int]:
    return -buffer.num_bytes * (buffer.last - buffer.first + 1), buffer.first


def _by_time(buffer: _Buffer) -> tuple[int, int]:
    return buffer.first, -buffer.num_bytes


def _by_length(buffer: _Buffer) -> tuple[int, int]:
    return buffer.first - buffer.last, -buffer.num_bytes


def _roots(graph: Graph) -> dict[str, str]:
    """Return, for each tensor, the first tensor of the buffer it lives in."""
    roots = {graph.input: graph.input}
    for node in graph.nodes:
        source = None if node.overwrites is None else node.inputs[node.overwrites]
        roots[node.output] = node.output if source is None else roots[source]
    return roots


def _buffers(graph: Graph, roots: Mapping[str, str]) -> list[_Buffer]:
    first = {graph.input: 0} | {node.output: i for i, node in enumerate(graph.nodes)}
    last: dict[str, int] = {}
    for index, node in enumerate(graph.nodes):
        for name in (*node.inputs, node.output):
            last[roots[name]] = index
    last[roots[graph.output]] = len(graph.nodes) - 1
    buffers = [
        _Buffer(
            root,
            align(max(graph.tensors[name].num_bytes for name, r in roots.items() if r == root)),
            first[root],
            last[root],
        )
        for root in dict.fromkeys(roots.values())
    ]
    for index, node in enumerate(graph.nodes):
        scratch = OPERATORS[node.op].scratch_bytes(node, graph.inputs_of(node))
        if scratch:
            buffers.append(_Buffer(f"scratch:{node.name}", align(scratch), index, index))
    return buffers


def _lower_bound(buffers: Sequence[_Buffer], steps: int) -> int:
    live = [0] * (steps + 1)
    for buffer in buffers:
        live[buffer.first] += buffer.num_bytes
        live[buffer.last + 1] -= buffer.num_bytes
    peak = total = 0
    for change in live:
        total += change
        peak = max(peak, total)
    return peak


def _place(order: Sequence[_Buffer]) -> dict[str, int]:
    """Put each buffer at the lowest offset where it meets no placed one that lives with it."""
    placed: list[tuple[int, _Buffer]] = []
    for buffer in order:
        at = 0
        for other_at, other in sorted(placed, key=lambda item: item[0]):
            if other.last < buffer.first or other.first > buffer.last:
                continue
            if other_at >= at + buffer.num_bytes:
                break
            at = max(at, other_at + other.num_bytes)
        placed.append((at, buffer))
    return {buffer.key: at for at, buffer in placed}


def check_plan(graph: Graph, plan: Plan) -> None:
    """Check a plan byte by byte, by walking the nodes; shares no code with the planner.

    At each node, no byte may belong to two live buffers, except that an output may have exactly the
    bytes of the input it declares to overwrite, if that input is read by no later node.

    Raises:
        PlanError: naming node and buffers.
    """
    for index, node in enumerate(graph.nodes):
        later = {name for after in graph.nodes[index + 1 :] for name in after.inputs}
        earlier = {graph.input, *(before.output for before in graph.nodes[:index])}
        live = {name for name in earlier if name in later or name in node.inputs}
        spans = {name: (plan.offsets[name], graph.tensors[name].num_bytes) for name in live}
        spans[node.output] = plan.offsets[node.output], graph.tensors[node.output].num_bytes
        scratch = OPERATORS[node.op].scratch_bytes(node, graph.inputs_of(node))
        if scratch:
            spans["its scratch"] = plan.scratch[node.name], scratch
        if node.overwrites is not None:
            _check_overwrite(graph, plan, index, later)
            del spans[node.inputs[node.overwrites]]
        owner: dict[int, str] = {}
        for name, (start, size) in spans.items():
            if start < 0 or start % 8 or start + size > plan.arena_bytes:
                raise PlanError(
                    f"{name} at {start} is outside the arena or unaligned", where=node.name
                )
            for byte in range(start, start + size):
                if owner.setdefault(byte, name) != name:
                    raise PlanError(
                        f"byte {byte} belongs to {owner[byte]} and {name}", where=node.name
                    )


def _check_overwrite(graph: Graph, plan: Plan, index: int, later: set[str]) -> None:
    node = graph.nodes[index]
    assert node.overwrites is not None
    source = node.inputs[node.overwrites]
    if node.overwrites not in OPERATORS[node.op].in_place:
        raise PlanError(f"{node.op} cannot overwrite its input {source}", where=node.name)
    if source in later or node.inputs.count(source) > 1 or source == graph.output:
        raise PlanError(f"overwrites {source}, which is still needed", where=node.name)
    same_place = plan.offsets[source] == plan.offsets[node.output]
    if not same_place or graph.tensors[source] != graph.tensors[node.output]:
        raise PlanError(f"overwrites {source} at another place or size", where=node.name)
