"""The planner against an independent checker and bound, and the checker against broken plans."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcuformer.errors import PlanError
from mcuformer.space import SearchSpace
from mcuformer.subnet import BlockConfig, SubnetConfig
from oplib.graph import Graph
from oplib.memory import Plan, check_plan, plan_memory
from oplib.passes.overwrite_tokens import overwrite_tokens
from oplib.vit import build_graph


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_plans_of_sampled_subnets_hold(digits_space: SearchSpace, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = digits_space.points()
    subnet = digits_space.sample(points[int(rng.integers(len(points)))], rng)
    plain = build_graph(subnet)
    arenas = []
    for graph in (plain, overwrite_tokens(plain)):
        plan = plan_memory(graph)
        check_plan(graph, plan)
        assert plan.lower_bound_bytes <= plan.arena_bytes <= 1.02 * plan.lower_bound_bytes
        arenas.append(plan.arena_bytes)
    assert arenas[1] <= arenas[0]


def test_peak_by_hand() -> None:
    """One block, 16 tokens of 32, MLP 4: residual + hidden + what feeds or leaves it."""
    block = BlockConfig(num_heads=2, head_dim=16, mlp_ratio=4.0)
    subnet = SubnetConfig(
        img_size=8, patch_size=2, in_chans=1, num_classes=10, embed_dim=32, blocks=(block,)
    )
    plan = plan_memory(overwrite_tokens(build_graph(subnet)))
    assert plan.arena_bytes == 16 * (32 + 32 + 128)


@pytest.fixture
def planned(small_subnet: SubnetConfig) -> tuple[Graph, Plan]:
    graph = overwrite_tokens(build_graph(small_subnet))
    return graph, plan_memory(graph)


def test_the_checker_finds_any_moved_tensor(planned: tuple[Graph, Plan]) -> None:
    """Moving one tensor onto any byte of another that lives with it must be refused."""
    graph, plan = planned
    caught = 0
    for name in graph.tensors:
        for delta in (-64, 8, 64):
            offsets = dict(plan.offsets) | {name: plan.offsets[name] + delta}
            try:
                check_plan(graph, replace(plan, offsets=offsets))
            except PlanError:
                caught += 1
    assert caught >= 2 * len(graph.tensors)


def test_the_checker_refuses_false_aliasing(planned: tuple[Graph, Plan]) -> None:
    graph, plan = planned
    nodes = list(graph.nodes)
    index = next(i for i, node in enumerate(nodes) if node.op == "linear")
    nodes[index] = replace(nodes[index], overwrites=0)
    with pytest.raises(PlanError, match="linear cannot overwrite"):
        check_plan(replace(graph, nodes=tuple(nodes)), plan)
    first_norm = next(i for i, node in enumerate(nodes) if node.name == "blocks.0.norm1")
    nodes = list(graph.nodes)
    nodes[first_norm] = replace(nodes[first_norm], overwrites=0)
    with pytest.raises(
        PlanError, match=r"blocks\.0\.norm1: overwrites patch_embed, which is still"
    ):
        check_plan(replace(graph, nodes=tuple(nodes)), plan)


def test_the_checker_refuses_scratch_in_use(planned: tuple[Graph, Plan]) -> None:
    graph, plan = planned
    node = next(node for node in graph.nodes if node.op == "attention")
    scratch = dict(plan.scratch) | {node.name: plan.offsets[node.inputs[1]]}
    with pytest.raises(PlanError, match="its scratch"):
        check_plan(graph, replace(plan, scratch=scratch))
