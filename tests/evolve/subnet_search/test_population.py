"""Drawing, mutating and crossing subnets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evolve.subnet_search.population import Variation
from mcuformer.errors import BudgetError
from mcuformer.space import SearchSpace


@pytest.fixture
def variation(digits_space: SearchSpace) -> Variation:
    return Variation(digits_space, digits_space.points()[0], lambda _: True, 0.5, 0.5, 0.5)


def test_children_stay_inside_the_space(variation: Variation, rng: np.random.Generator) -> None:
    parents = [variation.fresh(rng) for _ in range(20)]
    children = [variation.mutate(parent, rng) for parent in parents]
    children += [variation.cross(a, b, rng) for a, b in zip(parents, parents[::-1], strict=True)]
    assert all(variation.space.contains(child) for child in children)
    assert sum(child not in parents for child in children) > 20


def test_each_gene_has_its_own_probability(variation: Variation, rng: np.random.Generator) -> None:
    never = replace(
        variation, depth_probability=0.0, embed_dim_probability=0.0, block_probability=0.0
    )
    parent = variation.fresh(rng)
    assert all(never.mutate(parent, rng) == parent for _ in range(20))
    width = replace(never, embed_dim_probability=1.0)
    children = [width.mutate(parent, rng) for _ in range(40)]
    assert {child.embed_dim for child in children} == set(variation.space.embed_dim)
    assert {child.blocks for child in children} == {parent.blocks}


def test_a_gene_comes_from_a_parent(variation: Variation, rng: np.random.Generator) -> None:
    mother, father = variation.fresh(rng), variation.fresh(rng)
    for _ in range(50):
        child = variation.cross(mother, father, rng)
        assert child.embed_dim in (mother.embed_dim, father.embed_dim)
        assert child.depth in (mother.depth, father.depth)
        for index, block in enumerate(child.blocks):
            found = [p.blocks[index] for p in (mother, father) if index < p.depth]
            assert block.num_heads in [b.num_heads for b in found]
            assert block.mlp_ratio in [b.mlp_ratio for b in found]


def test_nothing_admissible(variation: Variation, rng: np.random.Generator) -> None:
    barren = replace(variation, admissible=lambda _: False)
    with pytest.raises(BudgetError, match="budget: none of 10000 sampled subnets fits"):
        barren.fresh(rng)
