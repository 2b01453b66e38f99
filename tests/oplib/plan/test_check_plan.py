"""The checker and the poisoned arena against collisions computed from liveness and offsets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pytest

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.errors import PlanError
from mcuformer.subnet import SubnetConfig
from oplib.forms import Forms, Passes
from oplib.graph import NO_ATTRIBUTES, Graph, Node, TensorType
from oplib.network.reference import run_integer
from oplib.ops.base import OUTPUT, Operator, Touch, align, rows_of
from oplib.ops.registry import OPERATORS
from oplib.plan.arena import FastRoom, Plan, plan_memory
from oplib.plan.check_plan import check_plan, execute
from oplib.plan.schedule import Schedule, schedule

SEPARATE = Passes(integrate_operators=False, overwrite_tokens=False, stream_tokens=False)


@dataclass(frozen=True)
class Buffer:
    """Bytes [start, stop), written at the call `first` and read for the last time at `last`."""

    name: str
    start: int
    stop: int
    first: int
    last: int

    def shares_bytes(self, other: Buffer) -> bool:
        return self.start < other.stop and other.start < self.stop

    def lives_with(self, other: Buffer) -> bool:
        return self.first <= other.last and other.first <= self.last


def buffers(calls: Graph, plan: Plan) -> list[Buffer]:
    """Return every tensor and every call's scratch, from the list of calls and the plan alone."""
    found = []
    for name, start in plan.offsets.items():
        written = [i for i, node in enumerate(calls.nodes) if node.output == name]
        read = [i for i, node in enumerate(calls.nodes) if name in node.inputs]
        stop = start + calls.tensors[name].num_bytes
        last = len(calls.nodes) if name == calls.output else max(read)
        found.append(Buffer(name, start, stop, written[0] if written else -1, last))
    for index, node in enumerate(calls.nodes):
        size = OPERATORS[node.op].scratch_bytes(node, calls.inputs_of(node))
        if size:
            start = plan.scratch[node.name]
            found.append(Buffer(f"scratch of {node.name}", start, start + size, index, index))
    return found


def collides(calls: Graph, plan: Plan, joined: dict[str, str]) -> bool:
    """Return whether two live buffers share bytes, or one exceeds the arena.

    Args:
        calls: graph of calls.
        plan: offsets to judge.
        joined: group of each tensor; tensors of a group overwrite one another on purpose.
    """
    found = buffers(calls, plan)
    if any(buffer.start < 0 or buffer.stop > plan.arena_bytes for buffer in found):
        return True
    return any(
        one.lives_with(other)
        and one.shares_bytes(other)
        and joined.get(one.name, one.name) != joined.get(other.name, other.name)
        for one, other in combinations(found, 2)
    )


def groups(calls: Graph) -> dict[str, str]:
    """Return the first tensor of the group whose tensors take over one another's bytes."""
    root = {name: name for name in calls.tensors}
    for node in calls.nodes:
        if node.overwrites is not None:
            root[node.output] = root[node.inputs[node.overwrites]]
    return root


def moves(calls: Graph, plan: Plan) -> Iterator[Plan]:
    """Move each group, and each scratch, by a few steps and onto every other tensor."""
    root = groups(calls)
    for group in dict.fromkeys(root[name] for name in plan.offsets):
        at = plan.offsets[group]
        for to in {at - 64, at - 8, at + 8, at + 64, *plan.offsets.values()} - {at}:
            moved = {name: o + to - at for name, o in plan.offsets.items() if root[name] == group}
            yield replace(plan, offsets={**plan.offsets, **moved})
    for node, at in plan.scratch.items():
        for to in {at - 8, at + 8, *plan.offsets.values()} - {at}:
            yield replace(plan, scratch={**plan.scratch, node: to})


@pytest.mark.parametrize("case", ["separate", "layered"])
def test_the_checker_refuses_exactly_the_moves_that_collide(
    case: str, request: pytest.FixtureRequest
) -> None:
    """The checker judges every move of a group; its tensors, which share bytes, move together."""
    scheduled: Schedule = request.getfixturevalue(case)
    calls, root = scheduled.calls, groups(scheduled.calls)
    assert (len(set(root.values())) < len(root)) == (case == "layered")
    judged = {True: 0, False: 0}
    for plan in moves(calls, scheduled.plan):
        must_be_refused = collides(calls, plan, root)
        judged[must_be_refused] += 1
        if must_be_refused:
            with pytest.raises(PlanError):
                check_plan(calls, plan)
        else:
            check_plan(calls, plan)
    assert min(judged.values()) >= 20


def test_the_checker_refuses_false_aliasing(layered: Schedule) -> None:
    calls = layered.calls
    nodes = list(calls.nodes)
    first_norm = next(i for i, node in enumerate(nodes) if node.name == "blocks.0.norm1")
    nodes[first_norm] = replace(nodes[first_norm], overwrites=0)
    broken = replace(calls, nodes=tuple(nodes))
    with pytest.raises(PlanError, match=r"reads byte 0 of patch_embed, which .* has replaced"):
        check_plan(broken, plan_memory(broken))


def growing(*, backward: bool) -> Operator:
    """Return an operator that reads and writes row by row."""

    class Growing(Operator):
        def touches(
            self, node: Node, inputs: tuple[TensorType, ...], output: TensorType
        ) -> Iterator[Touch]:
            order = range(output.shape[0])
            for t in reversed(order) if backward else order:
                yield Touch(
                    (rows_of(0, inputs[0], t, t + 1),), (rows_of(OUTPUT, output, t, t + 1),)
                )

    return Growing()


def test_rows_that_grow_must_run_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four rows of 8 bytes become rows of 16: written forwards, row 0 replaces row 1."""
    tensors = {"x": TensorType((4, 8)), "y": TensorType((4, 16))}
    node = Node("grow", "growing", ("x",), "y", NO_ATTRIBUTES, overwrites=0)
    graph = Graph(tensors, (node,), "x", "y")
    plan = Plan({"x": 0, "y": 0}, {}, 64, 64, optimal=True)
    monkeypatch.setitem(OPERATORS, "growing", growing(backward=True))
    check_plan(graph, plan)
    monkeypatch.setitem(OPERATORS, "growing", growing(backward=False))
    with pytest.raises(PlanError, match="grow: reads byte 8 of x, which y has replaced"):
        check_plan(graph, plan)


def test_the_checker_refuses_scratch_in_use(layered: Schedule) -> None:
    calls, plan = layered.calls, layered.plan
    node = next(node for node in calls.nodes if node.op == "attention")
    scratch = dict(plan.scratch) | {node.name: plan.offsets[node.inputs[1]]}
    with pytest.raises(PlanError, match="scratch has replaced"):
        check_plan(calls, replace(plan, scratch=scratch))


def test_the_checker_knows_both_arenas(small_subnet: SubnetConfig) -> None:
    """4 tokens of 12 features; what is one byte too long for its arena is refused."""
    fast = FastRoom(10**4, stream=True)
    found = schedule(small_subnet, Forms(passes=Passes(input="strip")), fast=fast)
    calls, plan = found.calls, found.plan
    stream, block = calls.nodes[0].output, calls.nodes[1]
    check_plan(calls, plan)
    assert stream in plan.fast_tensors
    assert block.name in plan.fast_scratch
    # scratch where the stream is, scratch beyond the end, and the same in the other arena
    scratch, begin = (
        OPERATORS[block.op].scratch_bytes(block, calls.inputs_of(block)),
        align(calls.tensors[stream].num_bytes),
    )
    assert plan.scratch[block.name] == begin
    overlapping = dict(plan.scratch) | {block.name: begin - 8}
    with pytest.raises(PlanError, match=r"which scratch has replaced"):
        check_plan(calls, replace(plan, scratch=overlapping))
    with pytest.raises(PlanError, match=rf"bytes \[{begin}, {begin + scratch}\) .* the fast arena"):
        check_plan(calls, replace(plan, fast_bytes=begin + scratch - 1))
    with pytest.raises(PlanError, match="outside the arena or unaligned"):
        check_plan(calls, replace(plan, fast_scratch=frozenset(), arena_bytes=begin + scratch - 1))


def test_the_image_is_never_in_the_fast_arena(small_subnet: SubnetConfig) -> None:
    """Neither if the tokens take over its memory; DMA may write it while a network runs."""
    found = schedule(small_subnet, fast=FastRoom(10**4, stream=True))
    check_plan(found.calls, found.plan)
    assert found.calls.input not in found.plan.fast_tensors
    plan = replace(found.plan, fast_tensors=found.plan.fast_tensors | {found.calls.input})
    with pytest.raises(PlanError, match="is in the fast arena, which no DMA need reach"):
        check_plan(found.calls, plan)


LOW_RANK = {"low_rank": ("qkv", "proj", "fc1", "fc2"), "rank_ratio": 0.5}
SMALL_HEAD = {
    "img_size": 48,
    "patch_size": 8,
    "embed_dim": 16,
    "blocks": ({"num_heads": 1, "head_dim": 8, "mlp_ratio": 1.0},),
}
CONVOLUTIONS = {
    "tokenizer": "conv2",
    "img_size": 16,
    "patch_size": 4,
    "stem_dim": 8,
    "embed_dim": 8,
    "blocks": ({"num_heads": 1, "head_dim": 4, "mlp_ratio": 1.0},),
}
EXECUTED = {
    "streamed": ({}, Passes(), None),
    "streamed low rank, tokens outer": (LOW_RANK, Passes(), 10**6),
    "layer by layer": (LOW_RANK, Passes(stream_tokens=False), None),
    "nothing": ({}, SEPARATE, None),
    "image overwritten": (SMALL_HEAD, Passes(), None),
    "strips": ({}, Passes(input="strip"), None),
    "convolutions, image overwritten": (CONVOLUTIONS, Passes(), None),
    "convolutions, strips": (CONVOLUTIONS, Passes(input="strip"), None),
}


@pytest.mark.parametrize("case", EXECUTED)
def test_a_poisoned_arena_gives_the_reference(
    random_network, small_subnet: SubnetConfig, preprocessing: Preprocessing, case: str
) -> None:
    change, passes, limit = EXECUTED[case]
    subnet = SubnetConfig.parse(small_subnet.dump() | change)
    pre = preprocessing.model_copy(update={"img_size": subnet.img_size})
    network = random_network(subnet, pre, 5, Forms(passes=passes), limit)
    found, expected = network.scheduled, run_integer(network.integer, network.images[:2])
    for image, logits in zip(network.images, expected, strict=False):
        assert np.array_equal(execute(network.integer, found.calls, found.plan, image), logits)
    if case.endswith("image overwritten"):
        assert found.calls.nodes[0].overwrites == 0


def destroyed(calls: Graph, plan: Plan) -> bool:
    """Return whether a buffer is written while another one with the same bytes is still to be read.

    Here an operator reads all its inputs before it writes, so its output may overlap an input that
    dies with it. Scratch is filled with noise before the inputs are read, and again after the
    output is written.
    """
    found = buffers(calls, plan)
    for one, other in combinations(sorted(found, key=lambda b: b.first), 2):
        if not one.shares_bytes(other):
            continue
        if "scratch" in one.name + other.name:
            if one.lives_with(other):
                return True
        elif other.first < one.last:
            return True
    return False


def test_a_poisoned_arena_betrays_exactly_the_wrong_plans(
    random_network, small_subnet: SubnetConfig, preprocessing: Preprocessing
) -> None:
    """Each tensor is moved onto every other; a byte overwritten too early changes the logits."""
    network = random_network(small_subnet, preprocessing, 5, Forms(passes=SEPARATE))
    calls, plan = network.scheduled.calls, network.scheduled.plan
    expected = run_integer(network.integer, network.images[:1])[0]
    judged = {True: 0, False: 0}
    for name in plan.offsets:
        for to in sorted(set(plan.offsets.values()) - {plan.offsets[name]}):
            if to + calls.tensors[name].num_bytes > plan.arena_bytes:
                continue
            moved = replace(plan, offsets={**plan.offsets, name: to})
            logits = execute(network.integer, calls, moved, network.images[0])
            must_differ = destroyed(calls, moved)
            judged[must_differ] += 1
            assert np.array_equal(logits, expected) != must_differ, (name, to)
    assert min(judged.values()) >= 20
