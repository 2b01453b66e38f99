"""Proof of a memory plan, by following every read and write of every kernel.

Each byte of the memory remembers which byte of which tensor it holds. A kernel must find the bytes
that it reads; those that it writes or uses as scratch replace what was there. Any sharing of bytes
that destroys nothing too early passes, and no other. Only the plan and the list of its tensors come
from the planner.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mcuformer.errors import PlanError
from oplib.graph import Graph, Node
from oplib.network.reference import IntegerModel, run_node
from oplib.ops.base import ALIGNMENT, OUTPUT, Array, Span, Touch
from oplib.ops.registry import OPERATORS
from oplib.plan.arena import Plan, arena_tensors, scratch_bytes

NOTHING = -1
TENSOR_SHIFT = 32  # the identity of a byte: number of its tensor, then its index in the tensor


def check_plan(graph: Graph, plan: Plan) -> None:
    """Check that no byte is destroyed before its last reader.

    Raises:
        PlanError: naming the node, the tensor and the byte, or a buffer outside of its arena.
    """
    # `held` models the memory: the identity of the byte in each place. By induction over the steps,
    # it is what the memory contains as long as every read matches. Room and scratch hold nothing
    # that may be read, before and after their node. Steps that are not `settled` have no order of
    # reads and writes, so their writes must stay apart from their reads. After its node, an output
    # must be complete: touches that leave out a byte do not pass.
    _check_bounds(graph, plan)
    numbers = {name: number for number, name in enumerate(graph.tensors)}
    held: npt.NDArray[np.int64] = np.full(_memory_bytes(plan), NOTHING, np.int64)

    def identities(name: str, start: int, stop: int) -> Array:
        return (numbers[name] << TENSOR_SHIFT) + np.arange(start, stop, dtype=np.int64)

    def write(name: str, start: int, stop: int) -> None:
        base = _place(plan, name)
        held[base + start : base + stop] = identities(name, start, stop)

    def read(name: str, start: int, stop: int, node: Node) -> None:
        base = _place(plan, name)
        wrong = np.flatnonzero(held[base + start : base + stop] != identities(name, start, stop))
        if len(wrong):
            byte = start + int(wrong[0])
            owner = _owner(graph, held[base + byte])
            raise PlanError(
                f"reads byte {byte} of {name}, which {owner} has replaced",
                where=node.name,
            )

    arena = set(arena_tensors(graph))
    if graph.input in arena:
        write(graph.input, 0, graph.tensors[graph.input].num_bytes)
    for node in graph.nodes:
        _clear_scratch(graph, plan, node, held)
        for touch in _touches(graph, node):
            _check_apart(graph, plan, node, touch, touch.room)
            if not touch.settled:
                _check_apart(graph, plan, node, touch, touch.reads)
            for span in touch.room:
                base = _place(plan, _tensor(node, span))
                held[base + span.start : base + span.stop] = NOTHING
            for span in touch.reads:
                if _tensor(node, span) in arena:
                    read(_tensor(node, span), span.start, span.stop, node)
            for span in touch.writes:
                write(_tensor(node, span), span.start, span.stop)
        _clear_scratch(graph, plan, node, held)
        read(node.output, 0, graph.tensors[node.output].num_bytes, node)


def _touches(graph: Graph, node: Node) -> Iterator[Touch]:
    output = graph.tensors[node.output]
    return OPERATORS[node.op].touches(node, graph.inputs_of(node), output)


def _tensor(node: Node, span: Span) -> str:
    return node.output if span.tensor == OUTPUT else node.inputs[span.tensor]


def _owner(graph: Graph, identity: int) -> str:
    """Return the tensor that a byte belongs to; scratch and room belong to none."""
    return "scratch" if identity == NOTHING else list(graph.tensors)[int(identity) >> TENSOR_SHIFT]


def _memory_bytes(plan: Plan) -> int:
    """Return the bytes of the memory that is followed: the arena, and behind it the fast arena."""
    return plan.arena_bytes + plan.fast_bytes


def _place(plan: Plan, name: str) -> int:
    """Return the first byte of a tensor in that memory."""
    return plan.offsets[name] + (plan.arena_bytes if name in plan.fast_tensors else 0)


def _scratch_span(graph: Graph, plan: Plan, node: Node) -> tuple[int, int]:
    """Return the bytes [start, stop) of a node's scratch in that memory."""
    size = scratch_bytes(graph, node)
    start = plan.scratch[node.name] if size else 0
    start += plan.arena_bytes if node.name in plan.fast_scratch else 0
    return start, start + size


def _clear_scratch(graph: Graph, plan: Plan, node: Node, held: Array) -> None:
    start, stop = _scratch_span(graph, plan, node)
    held[start:stop] = NOTHING


def _check_bounds(graph: Graph, plan: Plan) -> None:
    if graph.input in plan.fast_tensors:
        raise PlanError("is in the fast arena, which no DMA need reach", where=graph.input)
    for name in arena_tensors(graph):
        fast = name in plan.fast_tensors
        _check_inside(plan, name, plan.offsets[name], graph.tensors[name].num_bytes, fast=fast)
    for node in graph.nodes:
        size = scratch_bytes(graph, node)
        if size:
            name, fast = f"{node.name}'s scratch", node.name in plan.fast_scratch
            _check_inside(plan, name, plan.scratch[node.name], size, fast=fast)


def _check_inside(plan: Plan, name: str, start: int, size: int, *, fast: bool) -> None:
    memory, end = ("fast arena", plan.fast_bytes) if fast else ("arena", plan.arena_bytes)
    stop = start + size
    if start < 0 or start % ALIGNMENT or stop > end:
        line = f"bytes [{start}, {stop}) are outside the {memory} or unaligned"
        raise PlanError(line, where=name)


def _check_apart(
    graph: Graph, plan: Plan, node: Node, touch: Touch, used: tuple[Span, ...]
) -> None:
    """Check that a step writes nothing over bytes in use at the same time."""
    busy = np.zeros(_memory_bytes(plan), dtype=bool)
    arena = arena_tensors(graph)
    for span in used:
        if _tensor(node, span) in arena:
            base = _place(plan, _tensor(node, span))
            busy[base + span.start : base + span.stop] = True
    for span in touch.writes:
        base = _place(plan, _tensor(node, span))
        if busy[base + span.start : base + span.stop].any():
            raise PlanError(
                f"writes {node.output} over bytes that are in use; {node.op} cannot",
                where=node.name,
            )


def execute(model: IntegerModel, graph: Graph, plan: Plan, image: Array, seed: int = 0) -> Array:
    """Run a scheduled graph on one raw image inside a byte arena, as the firmware's memory would.

    A plan that lets a tensor die too early changes the logits.

    Args:
        model: the integer network.
        graph: its scheduled graph.
        plan: the plan of that graph.
        image: raw pixels (H, W, C).
        seed: seed of the random bytes.

    Returns:
        int32 logits (K,).
    """
    # Before each node, its scratch and all bytes that no node reads any more become random. Then
    # the steps run in order: reads copy bytes as the arena holds them at that time, writes put
    # noise where the output will be. The node is computed from the copies, so a byte that was
    # replaced before its read reaches the result.
    rng = np.random.default_rng(seed)
    arena = rng.integers(0, 256, _memory_bytes(plan)).astype(np.uint8)
    inside = set(arena_tensors(graph))
    outside = {graph.input: image.reshape(-1).view(np.uint8)}
    if graph.input in inside:
        base = _place(plan, graph.input)
        arena[base : base + image.nbytes] = image.reshape(-1)
    for index, node in enumerate(graph.nodes):
        _poison(graph, plan, index, arena, rng)
        copies = {
            name: rng.integers(0, 256, graph.tensors[name].num_bytes).astype(np.uint8)
            for name in node.inputs
        }
        for touch in _touches(graph, node):
            for span in touch.room:
                base = _place(plan, _tensor(node, span))
                noise = rng.integers(0, 256, span.stop - span.start)
                arena[base + span.start : base + span.stop] = noise
            for span in touch.reads:
                name = _tensor(node, span)
                source = arena[_place(plan, name) :] if name in inside else outside[name]
                copies[name][span.start : span.stop] = source[span.start : span.stop]
            for span in touch.writes:
                base = _place(plan, node.output)
                noise = rng.integers(0, 256, span.stop - span.start)
                arena[base + span.start : base + span.stop] = noise
        values = {
            name: raw.view(graph.tensors[name].dtype).reshape(1, *graph.tensors[name].shape)
            for name, raw in copies.items()
        }
        result = np.ascontiguousarray(run_node(model, node, values)[0])
        base = _place(plan, node.output)
        arena[base : base + result.nbytes] = result.reshape(-1).view(np.uint8)
        start, stop = _scratch_span(graph, plan, node)
        arena[start:stop] = rng.integers(0, 256, stop - start)
    base, logits = _place(plan, graph.output), graph.tensors[graph.output]
    return arena[base : base + logits.num_bytes].view(logits.dtype).copy()


def _poison(graph: Graph, plan: Plan, index: int, arena: Array, rng: np.random.Generator) -> None:
    """Fill this node's scratch, and what neither it nor a later node reads, with noise."""
    written = {graph.input, *(node.output for node in graph.nodes[:index])}
    needed = {name for node in graph.nodes[index:] for name in node.inputs}
    dead = np.ones(_memory_bytes(plan), dtype=bool)
    for name in written & needed & set(plan.offsets):
        base = _place(plan, name)
        dead[base : base + graph.tensors[name].num_bytes] = False
    start, stop = _scratch_span(graph, plan, graph.nodes[index])
    dead[start:stop] = True
    arena[dead] = rng.integers(0, 256, int(dead.sum()))
