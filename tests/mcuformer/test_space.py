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


def test_a_rank_per_layer_is_a_gene_instead_of_an_axis(digits_space: SearchSpace) -> None:
    """Drawn per low-rank layer and block, from the choices of the axis that it replaces."""
    change = {"rank_per_layer": True, "mlp_rank_ratio": [0.5, 1.0], "low_rank": ["qkv", "fc2"]}
    space = SearchSpace.parse(digits_space.dump() | change)
    assert space.axes == {
        "rank_ratio": (1.0,),
        "mlp_rank_ratio": (1.0,),
        "patch_size": (1, 2, 3, 4),
    }
    point = space.points()[1]
    subnets = [space.sample(point, np.random.default_rng(seed)) for seed in range(200)]
    blocks = [block for subnet in subnets for block in subnet.blocks]
    for layer, choices in (("qkv", (0.25, 0.5, 0.75, 1.0)), ("fc2", (0.5, 1.0))):
        drawn = [getattr(block, f"{layer}_rank_ratio") for block in blocks]
        shares = [drawn.count(choice) / len(drawn) for choice in choices]
        assert sum(shares) == pytest.approx(1)
        assert np.allclose(shares, 1 / len(choices), atol=0.08)
    assert all(block.fc1_rank_ratio is block.proj_rank_ratio is None for block in blocks)
    assert all(space.contains(subnet) and space.contains(subnet.factored) for subnet in subnets)
    assert not any(digits_space.contains(subnet) for subnet in subnets)


def test_the_smallest_of_each_rank_by_hand(digits_space: SearchSpace) -> None:
    """32 wide, two heads of 16: of ratio 0.75, qkv (32, 96) costs as much as dense, 24 x 128.

    fc1 and fc2 (32, 64) cost 24 x 96 and more than dense, 2,048: so the smallest are dense there.
    """
    change = {"rank_per_layer": True, "rank_ratio": [0.75, 1.0], "depth": [1]}
    space = SearchSpace.parse(digits_space.dump() | change)
    found = space.smallest_of_each_rank(space.points()[0])
    assert len(found) == len({subnet.key for subnet in found}) == 8
    dense = next(s for s in found if all(s.rank(0, n) is None for n in ("qkv", "fc1", "fc2")))
    by_params = sorted({subnet.num_params - dense.num_params for subnet in found})
    assert by_params == [0, 24 * 96 - 2048, 2 * (24 * 96 - 2048)]
    assert space.smallest(space.points()[0]).num_params == dense.num_params
    assert digits_space.smallest_of_each_rank(digits_space.points()[5]) == [
        digits_space.smallest(digits_space.points()[5])
    ]


def test_points_off_the_grid_are_refused(digits_space: SearchSpace) -> None:
    with pytest.raises(ConfigError, match=r"point\.rank_ratio: not a choice .*got 0\.4"):
        digits_space.check_point(SpacePoint(rank_ratio=0.4, patch_size=2))


def test_choices_must_ascend(digits_space: SearchSpace) -> None:
    with pytest.raises(ConfigError, match="embed_dim: choices must ascend"):
        SearchSpace.parse(digits_space.dump() | {"embed_dim": [64, 32]})
    with pytest.raises(ConfigError, match="exceeds img_size"):
        SearchSpace.parse(digits_space.dump() | {"patch_size": [2, 9]})
