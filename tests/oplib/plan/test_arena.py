"""Plans against an independent checker, a poisoned arena, brute force and figures by hand."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.errors import LoweringError, PlanError
from mcuformer.space import SearchSpace
from mcuformer.subnet import BlockConfig, SubnetConfig
from oplib.forms import Forms, Passes
from oplib.network.builder import build_graph
from oplib.network.reference import run_integer
from oplib.ops.mlp_block import MlpAttributes
from oplib.ops.patch_embed import PatchEmbed
from oplib.plan.arena import Extent, Item, place, place_exactly, plan_memory
from oplib.plan.check_plan import check_plan, execute
from oplib.plan.passes.overwrite_tokens import overwrite_tokens
from oplib.plan.schedule import Schedule, schedule
from oplib.plan.timeline import explain, peak, timeline

NO_STREAM = Passes(stream_tokens=False)
ABLATION = (
    Passes(integrate_operators=False, overwrite_tokens=False, stream_tokens=False),
    Passes(overwrite_tokens=False, stream_tokens=False),
    NO_STREAM,
    Passes(),
)
DEIT_TINY = SubnetConfig(
    img_size=224,
    patch_size=16,
    in_chans=3,
    num_classes=1000,
    embed_dim=192,
    blocks=(BlockConfig(num_heads=3, head_dim=64, mlp_ratio=4.0),) * 12,
)
PAPER = DEIT_TINY.model_copy(
    update={
        "img_size": 240,
        "patch_size": 20,
        "embed_dim": 216,
        "blocks": (BlockConfig(num_heads=4, head_dim=64, mlp_ratio=4.0),) * 14,
        "low_rank": ("qkv", "fc1", "fc2"),
        "rank_ratio": 0.9,
    }
)


def strip(limit: int | None = None) -> tuple[Forms, int | None]:
    return Forms(passes=Passes(input="strip")), limit


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), limit=st.sampled_from([None, 2000, 4000, 10**6]))
def test_plans_of_sampled_subnets_hold(
    digits_space: SearchSpace, seed: int, limit: int | None
) -> None:
    rng = np.random.default_rng(seed)
    points = digits_space.points()
    subnet = digits_space.sample(points[int(rng.integers(len(points)))], rng)
    arenas = []
    for passes in ABLATION:
        found = schedule(subnet, Forms(passes=passes), limit)
        check_plan(found.calls, found.plan)
        assert found.plan.optimal
        bound = found.plan.lower_bound_bytes
        assert bound <= found.plan.arena_bytes <= 1.02 * bound
        arenas.append(schedule(subnet, Forms(passes=passes)).plan.arena_bytes)
    assert arenas == sorted(arenas, reverse=True)


def test_peaks_by_hand() -> None:
    """DeiT-Tiny in strips, heads outer; then layer by layer: stream, hidden features, a tile."""
    found = schedule(DEIT_TINY, *strip())
    stream, head, slots = 196 * 192, 196 * 64, 196 * 128
    work = 12 * 196 + 8 * 192  # scores and weights of four rows, the projection's tile
    assert found.plan.arena_bytes == stream + 2 * head + slots + 8 * 64 + work
    graph = overwrite_tokens(build_graph(DEIT_TINY))
    moments = {moment.call: moment.num_bytes for moment in timeline(graph)}
    assert moments["blocks.0.mlp.fc1"] == stream + 196 * 768 + 8 * 192


def test_the_recorded_figures_of_the_prototype() -> None:
    """The kernels page: image resident, first strip without a tile; head pairs in strips."""
    assert schedule(DEIT_TINY).plan.arena_bytes == 152_640
    assert schedule(PAPER).plan.arena_bytes == 174_792
    found = schedule(PAPER, *strip(93_000))
    assert found.plan.arena_bytes <= 91_856
    assert {n.attrs.group for n in found.calls.nodes if n.op == "attention_block"} == {2}


def test_tokens_begin_as_little_below_the_image_as_possible() -> None:
    """One step of the alignment less, and the checker finds a pixel that is overwritten."""
    calls = schedule(PAPER).calls
    node = calls.nodes[0]
    assert (node.op, node.below) == (
        "patch_embed",
        PatchEmbed().bytes_below(node, calls.inputs_of(node)),
    )
    closer = replace(node, below=node.below - 8)
    broken = replace(calls, nodes=(closer, *calls.nodes[1:]))
    with pytest.raises(PlanError, match=r"patch_embed: .*(replaced|in use)"):
        check_plan(broken, plan_memory(broken))


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


@pytest.fixture
def layered(small_subnet: SubnetConfig) -> Schedule:
    return schedule(small_subnet, Forms(passes=NO_STREAM))


def test_the_checker_finds_any_moved_tensor(layered: Schedule) -> None:
    """Moving one tensor onto any byte of another that lives with it must be refused."""
    calls, plan = layered.calls, layered.plan
    caught = 0
    for name in plan.offsets:
        for delta in (-64, 8, 64):
            offsets = dict(plan.offsets) | {name: plan.offsets[name] + delta}
            try:
                check_plan(calls, replace(plan, offsets=offsets))
            except PlanError:
                caught += 1
    assert caught >= 2 * len(plan.offsets)


def test_the_checker_refuses_false_aliasing(layered: Schedule) -> None:
    calls = layered.calls
    nodes = list(calls.nodes)
    first_norm = next(i for i, node in enumerate(nodes) if node.name == "blocks.0.norm1")
    nodes[first_norm] = replace(nodes[first_norm], overwrites=0)
    broken = replace(calls, nodes=tuple(nodes))
    with pytest.raises(PlanError, match=r"reads byte 0 of patch_embed, which .* has replaced"):
        check_plan(broken, plan_memory(broken))


def test_the_checker_refuses_rows_that_grow_forwards(layered: Schedule) -> None:
    """A linear with longer output rows that ran from the first token would destroy its input."""
    calls = layered.calls
    index = next(i for i, node in enumerate(calls.nodes) if node.op == "linear_table")
    node = calls.nodes[index]
    source, target = calls.tensors[node.inputs[0]], calls.tensors[node.output]
    assert node.overwrites == 0
    assert target.shape[1] > source.shape[1]
    swapped = replace(node, op="mlp_block", attrs=MlpAttributes(hidden=8), parts={})
    nodes = (*calls.nodes[:index], swapped, *calls.nodes[index + 1 :])
    broken = replace(calls, nodes=nodes)
    with pytest.raises(PlanError, match=f"{re.escape(node.name)}: reads byte"):
        check_plan(broken, plan_memory(broken))


def test_the_checker_refuses_scratch_in_use(layered: Schedule) -> None:
    calls, plan = layered.calls, layered.plan
    node = next(node for node in calls.nodes if node.op == "attention")
    scratch = dict(plan.scratch) | {node.name: plan.offsets[node.inputs[1]]}
    with pytest.raises(PlanError, match="scratch has replaced"):
        check_plan(calls, replace(plan, scratch=scratch))


LOW_RANK = {"low_rank": ("qkv", "proj", "fc1", "fc2"), "rank_ratio": 0.5}
SMALL_HEAD = {
    "img_size": 48,
    "patch_size": 8,
    "embed_dim": 16,
    "blocks": ({"num_heads": 1, "head_dim": 8, "mlp_ratio": 1.0},),
}
EXECUTED = {
    "streamed": ({}, Passes(), None),
    "streamed low rank, tokens outer": (LOW_RANK, Passes(), 10**6),
    "layer by layer": (LOW_RANK, NO_STREAM, None),
    "nothing": ({}, ABLATION[0], None),
    "image overwritten": (SMALL_HEAD, Passes(), None),
    "strips": ({}, Passes(input="strip"), None),
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
    if case == "image overwritten":
        assert found.calls.nodes[0].below > 0


def test_a_poisoned_arena_betrays_a_wrong_plan(
    random_network, small_subnet: SubnetConfig, preprocessing: Preprocessing
) -> None:
    """Each tensor in turn is put onto the arena's start: most are no longer what they were."""
    network = random_network(small_subnet, preprocessing, 5, Forms(passes=NO_STREAM))
    calls, plan = network.scheduled.calls, network.scheduled.plan
    expected = run_integer(network.integer, network.images[:1])[0]
    moved = [name for name in plan.offsets if plan.offsets[name] > 0 and name != calls.output]
    betrayed = sum(
        not np.array_equal(
            execute(
                network.integer,
                calls,
                replace(plan, offsets={**plan.offsets, name: 0}),
                network.images[0],
            ),
            expected,
        )
        for name in moved
    )
    assert betrayed >= 0.6 * len(moved)


@settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(limit=st.integers(1500, 6000))
def test_a_limit_buys_instructions_and_is_kept(small_subnet: SubnetConfig, limit: int) -> None:
    from oplib.plan.instructions import modelled_instructions

    least, found = schedule(small_subnet), schedule(small_subnet, arena_limit=limit)
    assert found.plan.arena_bytes <= max(limit, least.plan.arena_bytes)
    assert modelled_instructions(found.calls) <= modelled_instructions(least.calls)


def test_strips_need_an_int8_patch_embedding(small_subnet: SubnetConfig) -> None:
    forms = Forms(residual="int16", passes=Passes(input="strip"))
    with pytest.raises(LoweringError, match=r"forms\.passes\.input: .*strips.*strip, with"):
        schedule(small_subnet, forms)


def test_what_peaks_and_what_would_help() -> None:
    found = schedule(PAPER, Forms(passes=NO_STREAM))
    text = explain(found, Forms(passes=NO_STREAM))
    assert peak(found.calls).num_bytes <= found.plan.arena_bytes
    assert "memory peaks at " in text
    assert "forms.passes.stream_tokens=true" in text
    assert "image 143688" in explain(schedule(PAPER), Forms())  # what no token covers
    assert "forms.passes.input=strip" in explain(schedule(PAPER), Forms())
