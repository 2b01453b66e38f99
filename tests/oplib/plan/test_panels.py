"""Panels: wider ones cost less, and the widest that fit are chosen."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcuformer.space import SearchSpace
from mcuformer.subnet import SubnetConfig
from oplib.forms import Forms, Passes
from oplib.network.builder import build_graph
from oplib.ops.work import Work
from oplib.plan.arena import plan_memory
from oplib.plan.check_plan import check_plan
from oplib.plan.panels import Rung, ladders, widen, widest
from oplib.plan.passes.stream_tokens import Variant, stream_tokens
from oplib.plan.passes.strip_input import strip_input
from oplib.plan.schedule import schedule
from oplib.plan.time_model import DEFAULT_TIMING, work_of

STRIP = Forms(passes=Passes(input="strip"))


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), stream=st.booleans(), strip=st.booleans())
def test_wider_panels_take_more_memory_and_read_less(
    digits_space: SearchSpace, seed: int, stream: bool, strip: bool
) -> None:
    """So the widest panel that fits is the best, and no other needs to be tried."""
    rng = np.random.default_rng(seed)
    points = digits_space.points()
    subnet = digits_space.sample(points[int(rng.integers(len(points)))], rng)
    passes = Passes(stream_tokens=stream, input="strip" if strip else "image")
    calls = schedule(subnet, Forms(passes=passes)).calls
    for ladder in ladders(calls):
        for narrow, wide in pairwise(ladder):
            assert narrow.panel < wide.panel
            assert narrow.scratch_bytes <= wide.scratch_bytes
            assert narrow.work.bytes_read > wide.work.bytes_read
            assert narrow.work.units == wide.work.units


def test_a_ladder_tells_what_the_widened_calls_need(deit_tiny: SubnetConfig) -> None:
    calls = stream_tokens(build_graph(deit_tiny), {0: Variant(group=1, mlp=True)})
    steps = ladders(calls)
    for pick in (0, 1, -1):
        rungs = [ladder[min(pick, len(ladder) - 1)] for ladder in steps]
        wider = widen(calls, [rung.panel for rung in rungs])
        live = max(rung.arena_bytes(fast_room=0) for rung in rungs)
        assert live == plan_memory(wider).lower_bound_bytes
        assert sum((rung.work for rung in rungs), Work()) == work_of(wider, wider.nodes)
        check_plan(wider, plan_memory(wider))


def test_the_widest_panels_within_the_limit() -> None:
    """100 bytes of tensors, and 100 of scratch for every four tokens."""
    ladder = tuple(Rung(4 * n, 100, 100 * n, Work(bytes_read=12 // n)) for n in (1, 2, 3))
    alone = (Rung(0, 900, 0, Work(1.0)),)
    assert [rung.panel for rung in widest((ladder, alone), 350)] == [8, 0]
    assert [rung.panel for rung in widest((ladder,), 400)] == [12]
    assert [rung.panel for rung in widest((ladder,), 0)] == [4]
    # the fast arena has room for two tiles, which are better there than three in the arena
    assert [rung.panel for rung in widest((ladder,), 100, fast_room=208)] == [8]
    assert [rung.panel for rung in widest((ladder,), 400, fast_room=208)] == [8]
    assert [rung.panel for rung in widest((ladder,), 400, fast_room=96)] == [12]
    # unless that reads the weights more than four times as often
    for least, panel in ((4, 4), (3, 64)):
        narrow = Rung(4, 100, 100, Work(bytes_read=16))
        steep = (narrow, Rung(64, 100, 1600, Work(bytes_read=least)))
        assert [rung.panel for rung in widest((steep,), 1700, fast_room=208)] == [panel]


def test_panels_of_a_streamed_block(deit_tiny: SubnetConfig) -> None:
    """92,208 bytes hold one head's attention; the MLP, which needs less, has room for more tokens.

    MLP: the stream of 196 x 192 bytes, and per token 192 normalised and 768 hidden values of two
    bytes. Attention: keys and values are read while outputs, scores and queries are not yet there.
    """
    limit = 92_208
    calls = schedule(deit_tiny, STRIP, limit).calls
    attention, mlp = calls.nodes[1:3]
    room = limit - 196 * 192
    assert mlp.attrs.panel == 28  # type: ignore[attr-defined]
    assert 28 * 2 * (192 + 768) <= room < 32 * 2 * (192 + 768)
    free = 4 * 64 * 2 + 12 * 196 + 4 * 192 * 2  # queries, scores and weights, outputs
    assert attention.attrs.read_panel == 8  # type: ignore[attr-defined]
    assert 8 * 2 * 192 <= free < 12 * 2 * 192


@pytest.mark.parametrize("limit", [1700, 2000, 2400, 3000, 10**5])
def test_no_other_heads_and_panels_cost_less(small_subnet: SubnetConfig, limit: int) -> None:
    """Every number of heads at a time with every combination of panels, planned one by one."""
    subnet = small_subnet.model_copy(update={"blocks": small_subnet.blocks[1:]})
    graph = strip_input(build_graph(subnet, STRIP))
    costs = []
    for group in (1, 2, 3):
        calls = stream_tokens(graph, {0: Variant(group, mlp=True)})
        for rungs in product(*ladders(calls)):
            wider = widen(calls, [rung.panel for rung in rungs])
            if plan_memory(wider).arena_bytes <= limit:
                costs.append(DEFAULT_TIMING.cost_of(work_of(wider, wider.nodes)))
    least = schedule(subnet, STRIP).plan.arena_bytes
    assert (limit >= least) == bool(costs)
    found = schedule(subnet, STRIP, limit)
    assert found.plan.arena_bytes <= max(limit, least)
    cost = DEFAULT_TIMING.cost_of(work_of(found.calls, found.calls.nodes))
    assert cost <= min(costs, default=float("inf"))
