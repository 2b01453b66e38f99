from __future__ import annotations

import pytest

from mcuformer.errors import ConfigError
from mcuformer.subnet import BlockConfig, SubnetConfig, factor_rank

BLOCK = BlockConfig(num_heads=3, head_dim=64, mlp_ratio=4.0)
DEIT_TINY = SubnetConfig(
    img_size=224, patch_size=16, in_chans=3, num_classes=1000, embed_dim=192, blocks=(BLOCK,) * 12
)


def test_deit_tiny_counts() -> None:
    """The published 5,717,416 parameters of DeiT-Tiny, less its class token and that position."""
    assert DEIT_TINY.num_params == 5_717_416 - 2 * 192
    assert DEIT_TINY.num_tokens == 196
    # 12 blocks of 12 D^2 a token, scores and values, patch embedding, head
    per_block = 196 * 12 * 192**2 + 2 * 196**2 * 192
    assert DEIT_TINY.macs == 12 * per_block + 196 * 768 * 192 + 192 * 1000


def test_low_rank_counts_by_hand() -> None:
    block = BlockConfig(num_heads=2, head_dim=4, mlp_ratio=2.0)
    subnet = SubnetConfig(
        img_size=4,
        patch_size=2,
        in_chans=1,
        num_classes=3,
        embed_dim=8,
        rank_ratio=0.5,
        blocks=(block,),
    )
    # qkv 8 -> 24, rank 4; proj dense 8 -> 8; fc1 8 -> 16 and fc2 16 -> 8, rank 4
    block_weights = 4 * (8 + 24) + 24 + 64 + 8 + 4 * 24 + 16 + 4 * 24 + 8 + 4 * 8
    assert subnet.num_params == 4 * 8 + 8 + 4 * 8 + block_weights + 16 + 8 * 3 + 3


@pytest.mark.parametrize(
    ("img_size", "patch_size", "grid", "padding"),
    [(240, 28, 9, (6, 6)), (240, 32, 8, (8, 8)), (8, 3, 3, (0, 1)), (8, 2, 4, (0, 0))],
)
def test_patches_that_do_not_divide_pad(
    img_size: int, patch_size: int, grid: int, padding: tuple[int, int]
) -> None:
    subnet = DEIT_TINY.model_copy(update={"img_size": img_size, "patch_size": patch_size})
    assert (subnet.grid_size, subnet.padding) == (grid, padding)


def test_rank_is_the_truncated_product() -> None:
    assert factor_rank(0.7, 10, 40) == 7  # and not 6, although 0.7 * 10 < 7 in binary
    assert factor_rank(0.9, 216, 648) == 194
    assert factor_rank(0.1, 4, 4) == 1


def test_fields_are_checked_by_path() -> None:
    with pytest.raises(ConfigError, match=r"blocks\.0\.num_heads: .*got '3'"):
        SubnetConfig.parse(DEIT_TINY.dump() | {"blocks": [BLOCK.dump() | {"num_heads": "3"}]})
    with pytest.raises(ConfigError, match="embed_dims: unknown key"):
        SubnetConfig.parse(DEIT_TINY.dump() | {"embed_dims": 3})
    assert SubnetConfig.parse(DEIT_TINY.dump()) == DEIT_TINY
