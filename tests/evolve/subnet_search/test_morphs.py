"""Morphs of subnets, counted by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.subnet_search.morphs import morphs
from evolve.subnet_search.problem import Problem
from mcuformer.device import Budget, BudgetConfig, Device
from mcuformer.seed import stream
from mcuformer.space import SearchSpace, SpacePoint
from mcuformer.subnet import SubnetConfig

MIDDLE = [(3, 3.0), (2, 2.0), (4, 4.0)]  # heads and MLP ratio of each block


def network(
    space: SearchSpace, point: SpacePoint, embed_dim: int, genes: list[tuple[int, float]]
) -> SubnetConfig:
    blocks = (space.block({"num_heads": h, "mlp_ratio": r, "activation": "gelu"}) for h, r in genes)
    return space.subnet(point, embed_dim, tuple(blocks))


@pytest.fixture
def point(digits_space: SearchSpace) -> SpacePoint:
    return digits_space.point_at((1, 1))  # rank ratio 0.5, patch 2


def test_every_gene_moves_by_one_choice(
    problem: Problem, digits_space: SearchSpace, point: SpacePoint
) -> None:
    parent = network(digits_space, point, 48, MIDDLE)
    found = [morph.subnet for morph in morphs(replace(problem, points=(point,)), parent)]
    widths = [network(digits_space, point, width, MIDDLE) for width in (32, 64)]
    a, b, c = MIDDLE
    depths = [[a, a, b, c], [a, b, b, c], [a, b, c, c], [b, c], [a, c], [a, b]]
    heads = [(2, 3.0), (4, 3.0)], [(3, 2.0)], [(3, 4.0)]
    ratios = [(3, 2.0), (3, 4.0)], [(2, 3.0)], [(4, 3.0)]
    single = [
        [*MIDDLE[:i], gene, *MIDDLE[i + 1 :]]
        for genes in (heads, ratios)
        for i in range(3)
        for gene in genes[i]
    ]
    expected = [network(digits_space, point, 48, genes) for genes in depths + single]
    assert sorted(s.key for s in found) == sorted(s.key for s in [*widths, *expected])
    assert len(found) == 2 + 6 + 8


def test_equal_blocks_make_equal_morphs_once(
    problem: Problem, digits_space: SearchSpace, point: SpacePoint
) -> None:
    parent = network(digits_space, point, 96, [(4, 4.0)] * 3)
    found = morphs(replace(problem, points=(point,)), parent)
    assert len(found) == 1 + 2 + 3 + 3  # width, depth, heads of a block, ratio of a block


def test_points_are_steps_of_the_searched_grid(
    problem: Problem, digits_space: SearchSpace, point: SpacePoint
) -> None:
    parent = network(digits_space, point, 48, MIDDLE)
    everywhere = morphs(replace(problem, points=digits_space.points()), parent)
    assert len(everywhere) == 16 + 4
    corner = tuple(digits_space.point_at(index) for index in ((1, 1), (2, 1), (2, 2), (3, 1)))
    steps = morphs(replace(problem, points=corner), parent)
    [ratio] = [m.subnet for m in steps if digits_space.point_of(m.subnet) != point]
    assert ratio == network(digits_space, corner[1], 48, MIDDLE)


def test_growth_preserves_the_function(
    problem: Problem, digits_space: SearchSpace, point: SpacePoint
) -> None:
    parent = network(digits_space, point, 48, MIDDLE)
    found = morphs(replace(problem, points=digits_space.points()), parent)
    kept = [m.subnet for m in found if m.preserving]
    # three copies of a block, heads of two blocks, ratios of two blocks, the rank ratio
    assert len(kept) == 3 + 2 + 2 + 1
    assert all(subnet.num_params > parent.num_params for subnet in kept)
    assert {subnet.embed_dim for subnet in kept} == {48}
    assert {subnet.patch_size for subnet in kept} == {2}


def test_every_kind_of_gene(problem: Problem) -> None:
    """Attention widths, activations in any order, and one convolution more or less."""
    space = problem.space.model_copy(
        update={
            "patch_size": (4,),
            "depth": (2, 4),
            "embed_dim": (32,),
            "num_heads": (2, 4),
            "mlp_ratio": (2.0,),
            "qkv_dim": (16, 32, 64),
            "activation": ("gelu", "relu", "hard_swish"),
            "tokenizer": ("conv1", "conv2", "patch"),
            "stem_dim": 8,
        }
    )
    genes = {"num_heads": 2, "mlp_ratio": 2.0, "attn_dim": 32, "activation": "relu"}
    blocks = (space.block(genes), space.block(genes | {"activation": "gelu"}))
    [point, *_] = space.points()
    parent = space.subnet(point, 32, blocks, "conv1")
    found = morphs(replace(problem, space=space, points=(point,)), parent)
    depths = [m.subnet for m in found if m.subnet.depth != 2]
    assert [m.subnet.tokenizer for m in found if m.subnet.blocks == blocks] == ["patch", "conv2"]
    assert [subnet.blocks for subnet in depths] == [
        (*blocks[:1] * 3, blocks[1]),
        (blocks[0], *blocks[1:] * 3),
    ]
    per_block = 1 + 2 + 2  # heads, attention width, activation
    assert len(found) == 2 + 2 + 2 * per_block
    # heads share the attention width: another number of them is another function
    assert [m.subnet for m in found if m.preserving] == depths


def test_a_rank_per_layer_moves_by_one_choice(problem: Problem) -> None:
    """Of six layers, three can grow and keep what the network computes, and two can shrink."""
    space = SearchSpace.parse(problem.space.dump() | {"rank_per_layer": True, "low_rank": ["fc1"]})
    genes = {"num_heads": 3, "mlp_ratio": 3.0, "activation": "gelu"}
    ratios = (0.25, 0.75, 1.0)
    blocks = tuple(space.block(genes | {"fc1_rank_ratio": ratio}) for ratio in ratios)
    points = space.points()
    parent = space.subnet(points[0], 48, blocks)
    found = morphs(replace(problem, space=space, points=points), parent)
    same = [m for m in found if m.subnet.depth == 3 and m.subnet.num_tokens == parent.num_tokens]
    changed = [
        (tuple(block.fc1_rank_ratio for block in m.subnet.blocks), m.preserving)
        for m in same
        if [b.fc1_rank_ratio for b in m.subnet.blocks] != [*ratios]
    ]
    assert changed == [
        ((0.5, 0.75, 1.0), True),
        ((0.25, 0.5, 1.0), False),
        ((0.25, 1.0, 1.0), True),
        ((0.25, 0.75, 0.75), False),
    ]


@settings(max_examples=12)
@given(st.integers(0, 10_000), st.booleans())
def test_morphs_stay_in_the_space_and_lead_back(
    digits_space: SearchSpace, stm32f100: Device, seed: int, rank_per_layer: bool
) -> None:
    limit = Budget.of(BudgetConfig(), stm32f100)
    space = digits_space.model_copy(update={"rank_per_layer": rank_per_layer})
    problem = Problem(space, space.points(), lambda _: True, limit)
    parent = problem.sample(stream(seed))
    for morph in morphs(problem, parent):
        assert space.contains(morph.subnet)
        assert morph.subnet != parent
        if morph.subnet.depth >= parent.depth:  # a block that is left out is forgotten
            assert parent in [back.subnet for back in morphs(problem, morph.subnet)]
