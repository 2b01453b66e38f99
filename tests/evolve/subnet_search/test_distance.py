"""Distances by hand, against an assignment of unit masses, and their properties."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.subnet_search.distance import DistanceTable, distance, layers_of
from mcuformer.space import SearchSpace, SpacePoint
from mcuformer.subnet import Activation, BlockConfig, SubnetConfig

UNIT = 256  # divides the multiply-accumulates of every layer of `tiny`


def tiny(*blocks: tuple[int, int, float, Activation]) -> SubnetConfig:
    """Return a network of 4 tokens, 16 wide, of (heads, head_dim, mlp_ratio, activation)."""
    return SubnetConfig(
        img_size=8,
        patch_size=4,
        in_chans=1,
        num_classes=32,
        embed_dim=16,
        blocks=tuple(
            BlockConfig(num_heads=h, head_dim=d, mlp_ratio=r, activation=a) for h, d, r, a in blocks
        ),
    )


def units(subnet: SubnetConfig) -> list[tuple[Any, ...]]:
    """Return one (label, position, heads, head_dim, ratio, activation) per unit of mass of `tiny`.

    Patches: 4 tokens of 16 pixels by 16 channels. Attention of width Q: 4 tokens by 4 x 16 Q, and
    2 x 4 x 4 Q. MLP of ratio r: 4 tokens by 2 x 16 x 16 r. Head: 16 by 32.
    """
    layers: list[tuple[int, tuple[Any, ...]]] = [(4 * 16 * 16, ("patch", 0, 0, 0, ""))]
    for block in subnet.blocks:
        width = block.num_heads * block.head_dim
        macs = 4 * 4 * 16 * width + 2 * 4 * 4 * width
        layers.append((macs, ("attention", block.num_heads, block.head_dim, 0, "")))
        macs = round(4 * 2 * 16 * 16 * block.mlp_ratio)
        layers.append((macs, ("mlp", 0, 0, block.mlp_ratio, block.activation)))
    layers.append((16 * 32, ("head", 0, 0, 0, "")))
    last = len(layers) - 1
    return [
        (layer[0], index / last, *layer[1:])
        for index, (macs, layer) in enumerate(layers)
        for _ in range(macs // UNIT)
    ]


def unit_cost(one: tuple[Any, ...], other: tuple[Any, ...]) -> float:
    if one[0] != other[0] and {one[0], other[0]} != {"attention", "mlp"}:
        return 1e6
    cost = abs(one[1] - other[1])
    if one[0] != other[0]:
        return cost + 1.0
    cost += 0.1 * abs(one[2] - other[2]) + 0.1 / 16 * abs(one[3] - other[3])
    return cost + 0.2 * abs(one[4] - other[4]) + 0.2 * (one[5] != other[5])


blocks = st.tuples(
    st.sampled_from([1, 2, 4]),
    st.sampled_from([8, 16]),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.sampled_from(["gelu", "relu"]),
)
networks = st.lists(blocks, min_size=1, max_size=3).map(lambda rows: tiny(*rows))


@settings(deadline=None, max_examples=40)
@given(one=networks, other=networks)
def test_no_assignment_of_units_is_cheaper(one: SubnetConfig, other: SubnetConfig) -> None:
    """Masses are whole units, so some best transport moves whole units.

    Every unit of one network is assigned to one of the other, or stays without a partner at 1.
    """
    a, b = units(one), units(other)
    cost = np.zeros((len(a) + len(b), len(a) + len(b)))
    cost[: len(a), : len(b)] = [[unit_cost(x, y) for y in b] for x in a]
    cost[: len(a), len(b) :] = 1
    cost[len(a) :, : len(b)] = 1
    chosen = scipy.optimize.linear_sum_assignment(cost)
    assert distance(one, other) == pytest.approx(cost[chosen].sum() * UNIT / 1000, abs=1e-5)


def test_a_distance_by_hand() -> None:
    """Four heads of 8 against two of 16: 0.2 and 0.05 per unit of the only attention's mass."""
    one, other = tiny((4, 8, 1.0, "gelu")), tiny((2, 16, 1.0, "gelu"))
    mass = (4 * 4 * 16 * 32 + 2 * 4 * 4 * 32) / 1000
    assert distance(one, other) == pytest.approx(mass * (0.2 + 0.05))


def drawn(space: SearchSpace, seed: int) -> SubnetConfig:
    rng = np.random.default_rng(seed)
    points = space.points()
    return space.sample(points[int(rng.integers(len(points)))], rng)


@pytest.fixture(scope="module")
def space(digits_space: SearchSpace) -> SearchSpace:
    """Every gene has choices."""
    genes = {
        "tokenizer": ("conv1", "patch"),
        "activation": ("gelu", "relu"),
        "qkv_dim": (48, 96),
        "patch_size": (2, 4),
        "num_heads": (2, 3),
    }
    return SearchSpace.parse({**digits_space.dump(), **genes})


seeds = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=60)
@given(first=seeds, second=seeds)
def test_a_distance_tells_networks_apart(space: SearchSpace, first: int, second: int) -> None:
    one, other = drawn(space, first), drawn(space, second)
    found = distance(one, other)
    assert found == distance(other, one)
    assert (found == 0) == (one == other)
    assert distance(one, one) == 0
    assert found <= (one.macs + other.macs) / 1000
    assert layers_of(one).mass.sum() == pytest.approx(one.macs / 1000)


@pytest.mark.parametrize(
    "gene",
    [
        {"activation": "relu"},
        {"num_heads": 3, "head_dim": 8},
        {"mlp_ratio": 2.25},
    ],
)
def test_one_gene_is_seen(gene: dict[str, Any]) -> None:
    """Also where no layer's multiply-accumulates change: 24 wide."""
    block = {"num_heads": 2, "head_dim": 12, "mlp_ratio": 2.0}
    base = tiny((2, 12, 2.0, "gelu"))
    assert base.blocks == (BlockConfig(**block),)
    other = base.model_copy(update={"blocks": (BlockConfig(**{**block, **gene}),)})
    assert 0 < distance(base, other) < 0.4 * (base.macs + other.macs) / 1000


def test_a_pair_is_solved_once(space: SearchSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    point: SpacePoint = space.points()[0]
    rng = np.random.default_rng(0)
    subnets = [space.sample(point, rng) for _ in range(6)]
    table = DistanceTable()
    square = table.between(subnets, subnets)
    assert np.array_equal(square, square.T)
    singly = [[distance(one, other) for other in subnets] for one in subnets]
    assert np.array_equal(square, singly)

    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a known pair is solved again")

    monkeypatch.setattr(scipy.optimize, "milp", refuse)
    assert np.array_equal(table.between(subnets[3:], subnets), square[3:])
    assert table.between([], subnets).shape == (0, 6)
    with pytest.raises(AssertionError, match="solved again"):
        table.between([space.largest(point)], subnets)
