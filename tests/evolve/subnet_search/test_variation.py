"""Mutating and crossing subnets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evolve.subnet_search.variation import Variation
from mcuformer.space import SearchSpace
from mcuformer.subnet import SubnetConfig


@pytest.fixture
def variation(digits_space: SearchSpace) -> Variation:
    return Variation(digits_space, digits_space.points()[:1], 0.5, 0.5, 0.5)


def fresh(variation: Variation, rng: np.random.Generator) -> SubnetConfig:
    return variation.space.sample(variation.points[0], rng)


@pytest.mark.parametrize("rank_per_layer", [False, True])
def test_children_stay_inside_the_space(
    variation: Variation, rng: np.random.Generator, rank_per_layer: bool
) -> None:
    space = variation.space.model_copy(update={"rank_per_layer": rank_per_layer})
    variation = replace(variation, space=space, points=space.points())
    parents = [fresh(variation, rng) for _ in range(20)]
    children = [variation.mutate(parent, rng) for parent in parents]
    children += [variation.cross(a, b, rng) for a, b in zip(parents, parents[::-1], strict=True)]
    assert all(variation.space.contains(child) for child in children)
    assert sum(child not in parents for child in children) > 20


def test_each_gene_has_its_own_probability(variation: Variation, rng: np.random.Generator) -> None:
    never = replace(
        variation, depth_probability=0.0, embed_dim_probability=0.0, block_probability=0.0
    )
    parent = fresh(variation, rng)
    assert all(never.mutate(parent, rng) == parent for _ in range(20))
    width = replace(never, embed_dim_probability=1.0)
    children = [width.mutate(parent, rng) for _ in range(40)]
    assert {child.embed_dim for child in children} == set(variation.space.embed_dim)
    assert {child.blocks for child in children} == {parent.blocks}


def test_the_point_is_a_gene_where_several_are_searched(
    digits_space: SearchSpace, rng: np.random.Generator
) -> None:
    points = digits_space.points()[:3]
    vary = Variation(digits_space, points, 0.0, 1.0, 0.0)
    parent = digits_space.sample(points[0], rng)
    children = [vary.mutate(parent, rng) for _ in range(40)]
    assert {digits_space.point_of(child) for child in children} == set(points)


def test_a_gene_comes_from_a_parent(variation: Variation, rng: np.random.Generator) -> None:
    mother, father = fresh(variation, rng), fresh(variation, rng)
    for _ in range(50):
        child = variation.cross(mother, father, rng)
        assert child.embed_dim in (mother.embed_dim, father.embed_dim)
        assert child.depth in (mother.depth, father.depth)
        for index, block in enumerate(child.blocks):
            found = [p.blocks[index] for p in (mother, father) if index < p.depth]
            assert block.num_heads in [b.num_heads for b in found]
            assert block.mlp_ratio in [b.mlp_ratio for b in found]
