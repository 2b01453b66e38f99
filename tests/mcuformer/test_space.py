from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcuformer.errors import ConfigError
from mcuformer.space import SearchSpace, SpacePoint


@given(seed=st.integers(0, 2**32 - 1))
def test_samples_lie_in_the_space(digits_space: SearchSpace, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = digits_space.points()
    point = points[int(rng.integers(len(points)))]
    subnet = digits_space.sample(point, rng)
    assert digits_space.contains(subnet)
    assert subnet.num_params <= digits_space.largest(point).num_params
    assert not digits_space.contains(subnet.model_copy(update={"embed_dim": 40}))


def test_sampling_is_uniform_over_each_gene(digits_space: SearchSpace) -> None:
    rng = np.random.default_rng(1)
    point = digits_space.points()[0]
    drawn = [digits_space.sample(point, rng) for _ in range(3000)]
    for choices, values in (
        (digits_space.depth, [s.depth for s in drawn]),
        (digits_space.embed_dim, [s.embed_dim for s in drawn]),
        (digits_space.num_heads, [s.blocks[0].num_heads for s in drawn]),
    ):
        shares = [values.count(choice) / len(values) for choice in choices]
        assert np.allclose(shares, 1 / len(choices), atol=0.04)


def test_the_activation_is_a_gene(digits_space: SearchSpace) -> None:
    """Drawn per block; a space of one activation draws what it drew without the gene."""
    both = SearchSpace.parse(digits_space.dump() | {"activation": ["gelu", "relu"]})
    point = both.points()[0]
    subnets = [both.sample(point, np.random.default_rng(seed)) for seed in range(40)]
    drawn = [block.activation for subnet in subnets for block in subnet.blocks]
    assert 0.3 < drawn.count("relu") / len(drawn) < 0.7
    assert all(both.contains(subnet) for subnet in subnets)
    assert not all(digits_space.contains(subnet) for subnet in subnets)
    with pytest.raises(ConfigError, match="activation: choices must not repeat"):
        SearchSpace.parse(digits_space.dump() | {"activation": ["relu", "relu"]})
    with pytest.raises(ConfigError, match=r"activation\.0: .*swish"):
        SearchSpace.parse(digits_space.dump() | {"activation": ["swish"]})


def test_points_off_the_grid_are_refused(digits_space: SearchSpace) -> None:
    with pytest.raises(ConfigError, match=r"point\.rank_ratio: not a choice .*got 0\.4"):
        digits_space.check_point(SpacePoint(rank_ratio=0.4, patch_size=2))


def test_choices_must_ascend(digits_space: SearchSpace) -> None:
    with pytest.raises(ConfigError, match="embed_dim: choices must ascend"):
        SearchSpace.parse(digits_space.dump() | {"embed_dim": [64, 32]})
    with pytest.raises(ConfigError, match="exceeds img_size"):
        SearchSpace.parse(digits_space.dump() | {"patch_size": [2, 9]})
