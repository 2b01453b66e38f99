"""Which factors a firmware merges."""

from __future__ import annotations

import pytest

from mcuformer.subnet import BlockConfig, SubnetConfig
from oplib.forms import Forms, Passes
from oplib.network.low_rank import block_weights, deployed_rank

MERGE = Forms(passes=Passes(merge_low_rank=True))


@pytest.mark.parametrize(
    ("ratio", "plain", "merged"),
    [
        (1.0, None, None),  # full rank is always merged
        (0.75, 24, None),  # 24 (32 + 64) = 2304 weights, the dense matrix has 2048
        (0.65625, 21, 21),  # 21 (32 + 64) = 2016
    ],
)
def test_break_even(ratio: float, plain: int | None, merged: int | None) -> None:
    """fc1 of a width of 32 and a ratio of 2: 32 inputs, 64 outputs."""
    subnet = SubnetConfig(
        img_size=8,
        patch_size=4,
        in_chans=1,
        num_classes=2,
        embed_dim=32,
        low_rank=("fc1",),
        rank_ratio=ratio,
        blocks=(BlockConfig(num_heads=2, head_dim=16, mlp_ratio=2.0),),
    )
    assert deployed_rank(subnet, 0, "fc1", Forms()) == plain
    assert deployed_rank(subnet, 0, "fc1", MERGE) == merged


@pytest.mark.parametrize(("forms", "fc1"), [(Forms(), 24 * (32 + 64)), (MERGE, 32 * 64)])
def test_weights_of_the_blocks_are_those_of_merged_layers(forms: Forms, fc1: int) -> None:
    subnet = SubnetConfig(
        img_size=8,
        patch_size=4,
        in_chans=1,
        num_classes=2,
        embed_dim=32,
        low_rank=("fc1",),
        rank_ratio=0.75,
        blocks=(BlockConfig(num_heads=2, head_dim=16, mlp_ratio=2.0),) * 2,
    )
    qkv, proj, fc2 = 32 * 96, 32 * 32, 64 * 32
    assert block_weights(subnet, forms) == 2 * (qkv + proj + fc1 + fc2)
