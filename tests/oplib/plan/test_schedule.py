"""Schedules against figures by hand, and what a limit buys."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcuformer.space import SearchSpace
from mcuformer.subnet import BlockConfig, SubnetConfig
from oplib.forms import Forms, Passes
from oplib.graph import Graph
from oplib.ops.attention_block import AttentionBlockAttributes
from oplib.plan.check_plan import check_plan
from oplib.plan.schedule import schedule
from oplib.plan.time_model import DEFAULT_TIMING, work_of

STRIP = Forms(passes=Passes(input="strip"))
ABLATION = (
    Passes(integrate_operators=False, overwrite_tokens=False, stream_tokens=False),
    Passes(overwrite_tokens=False, stream_tokens=False),
    Passes(stream_tokens=False),
    Passes(),
)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), limit=st.sampled_from([None, 2000, 4000, 10**6]))
def test_every_pass_saves_memory_and_every_plan_holds(
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


def cost(calls: Graph) -> float:
    return DEFAULT_TIMING.cost_of(work_of(calls, calls.nodes))


def test_attention_with_heads_outer(deit_tiny: SubnetConfig) -> None:
    """One head at a time: its keys and values exist, and the outputs of the two others wait."""
    tokens, dim, head_dim = 196, 192, 64
    stream, keys, values = tokens * dim, tokens * head_dim, tokens * head_dim
    slots, queries = tokens * 2 * head_dim, 4 * head_dim * 2  # a tile is four rows of int16
    scores = 4 * tokens * 3  # four rows: an 8-bit code and a 16-bit weight each
    projection = 4 * dim * 2
    found = schedule(deit_tiny, STRIP)
    expected = stream + keys + values + slots + queries + scores + projection
    assert found.plan.arena_bytes == expected


def test_attention_with_pairs_of_heads(paper_subnet: SubnetConfig) -> None:
    """104,000 bytes hold keys and values of two heads of four, and panels of 16 tokens beside them.

    Three heads at a time would fit as well, but save no pass over the tokens.
    """
    tokens, dim, head_dim, heads, limit = 144, 216, 64, 4, 104_000

    def arena(group: int, panel: int) -> int:
        waiting = tokens * (heads - group) * head_dim
        keys_and_values, queries = 2 * tokens * group * head_dim, panel * group * head_dim * 2
        normalised, factor = panel * dim * 2, panel * 196 * 2  # rank 194, whole quads
        outputs = 4 * tokens * 3 + panel * heads * head_dim * 2
        work = max(normalised + factor, outputs)
        return tokens * dim + keys_and_values + waiting + queries + work

    assert arena(2, 16) <= limit < arena(2, 20)
    assert arena(3, 4) <= limit < arena(4, 4)
    found = schedule(paper_subnet, STRIP, limit)
    attention = found.calls.nodes[1].attributes(AttentionBlockAttributes)
    assert (attention.group, attention.panel) == (2, 16)
    assert found.plan.arena_bytes == arena(2, 16)


def test_relative_positions_one_head_at_a_time(deit_tiny: SubnetConfig) -> None:
    """Packed vectors of 27 distances by rows and by columns, and those of the class token."""
    tokens, dim, head_dim, grid, distances = 197, 192, 64, 14, 28  # whole quads
    keys = values = 200 * head_dim  # of the values, two rows are the class token's vectors
    vectors = (2 + 4 * distances) * head_dim
    waiting, queries = tokens * 2 * head_dim, 4 * head_dim * 2
    sums = 4 * 200 * 2 + 4 * 2 * distances * 2  # weights, and sums of them: int16
    scores = 4 * 200 + 200 * 2 + 4 * (2 * grid + 2) * 4  # and a row of weights, products: int32
    projection = 4 * dim * 2
    expected = tokens * dim + keys + values + vectors + waiting + queries + sums + scores
    change = {"relative_position": 14, "class_token": True}
    found = schedule(deit_tiny.model_copy(update=change), STRIP)
    assert found.plan.arena_bytes == expected + projection


@settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(limit=st.integers(1500, 6000))
def test_a_limit_buys_speed_and_is_kept(small_subnet: SubnetConfig, limit: int) -> None:
    least, found = schedule(small_subnet), schedule(small_subnet, arena_bytes=limit)
    assert found.plan.arena_bytes <= max(limit, least.plan.arena_bytes)
    assert cost(found.calls) <= cost(least.calls)


def test_nearly_optimal_is_not_optimal(paper_subnet: SubnetConfig) -> None:
    """The solver's usual tolerance of 1e-4 would call 8 bytes more of these 134,720 a proof."""
    tokens, dim, channels, scratch = 144, 216, 3 * 64, 20_672  # scratch of the attention
    block = BlockConfig(num_heads=3, head_dim=64, mlp_ratio=3.5)
    forms = Forms(patch_kernel=1, sqrt="exact", passes=Passes(input="strip"))
    plan = schedule(paper_subnet.model_copy(update={"blocks": (block,)}), forms, 138_000).plan
    assert plan.arena_bytes == tokens * (dim + 3 * channels) + scratch
    assert plan.optimal
