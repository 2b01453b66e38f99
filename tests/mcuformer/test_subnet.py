from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mcuformer.errors import ConfigError
from mcuformer.subnet import (
    BlockConfig,
    Ranks,
    SubnetConfig,
    build_block,
    factor_rank,
    ratio_of_hidden,
)

BLOCK = BlockConfig(num_heads=3, head_dim=64, mlp_ratio=4.0)
DEIT_TINY = SubnetConfig(
    img_size=224, patch_size=16, in_chans=3, num_classes=1000, embed_dim=192, blocks=(BLOCK,) * 12
)


def test_deit_tiny_counts() -> None:
    """The published 5,717,416 parameters of DeiT-Tiny, less its class token and that position."""
    assert DEIT_TINY.num_params == 5_717_416 - 2 * 192
    assert DEIT_TINY.num_tokens == 196
    # 12 blocks of 12 D^2 per token, scores and values, patch embedding, head
    per_block = 196 * 12 * 192**2 + 2 * 196**2 * 192
    assert DEIT_TINY.macs == 12 * per_block + 196 * 768 * 192 + 192 * 1000


def test_deit_tiny_with_its_class_token() -> None:
    with_token = DEIT_TINY.model_copy(update={"class_token": True, "global_pool": "token"})
    assert (with_token.num_params, with_token.num_tokens) == (5_717_416, 197)


STORED = (build_block(4, 64, 4.0),) * 14


def test_autoformers_supernet_count() -> None:
    """11,676,648: the unfactorised supernet with class token and relative position."""
    supernet = SubnetConfig(
        img_size=240,
        patch_size=16,
        in_chans=3,
        num_classes=1000,
        embed_dim=256,
        class_token=True,
        relative_position=14,
        blocks=STORED,
    )
    assert supernet.num_params == 11_676_648


def test_convolutional_tokenizer_by_hand() -> None:
    """CCT-2/3x2 of a 32 px image: 64 tokens, stem of 3 -> 64 -> 128 without biases, batch norms."""
    update = {"img_size": 32, "patch_size": 4, "tokenizer": "conv2", "stem_dim": 64}
    cct = DEIT_TINY.model_copy(update=update | {"embed_dim": 128})
    assert (cct.num_tokens, [tuple(conv) for conv in cct.convs]) == (
        64,
        [(3, 64, 1, 32), (64, 128, 1, 16)],
    )
    patch = cct.model_copy(update={"tokenizer": "patch", "stem_dim": None})
    stem, embed = 27 * 64 + 2 * 64 + 576 * 128 + 2 * 128, 48 * 128 + 128
    assert cct.num_params - patch.num_params == stem - embed
    assert cct.macs - patch.macs == 1024 * 27 * 64 + 256 * 576 * 128 - 64 * 48 * 128
    odd = cct.model_copy(update={"img_size": 29, "patch_size": 8})  # strides 2, pooled 2, 1, 2
    assert ([conv.size for conv in odd.convs], odd.grid_size) == ([15, 8], 4)


def test_forms_that_do_not_fit_are_refused() -> None:
    for update, message in (
        ({"global_pool": "token"}, "global_pool=token needs class_token"),
        ({"tokenizer": "conv2"}, "stem_dim must be given for tokenizer conv2"),
        ({"tokenizer": "conv1"}, r"conv1 takes patch_size \[2, 4, 6\], not 16"),
    ):
        with pytest.raises(ConfigError, match=message):
            SubnetConfig.parse(DEIT_TINY.dump() | update)


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


def test_ranks_of_a_block_go_before_the_ratio() -> None:
    """Layers by hand: qkv 8 -> 24 of rank 3, proj 8 -> 8 of rank 2, fc1 by the ratio, fc2 dense."""
    ranks = Ranks(qkv=3, proj=2)
    block = BlockConfig(num_heads=2, head_dim=4, mlp_ratio=2.0, ranks=ranks)
    subnet = SubnetConfig(
        img_size=4,
        patch_size=2,
        in_chans=1,
        num_classes=3,
        embed_dim=8,
        rank_ratio=0.5,
        low_rank=("qkv", "fc1"),
        blocks=(block,),
    )
    assert [subnet.rank(0, name) for name in ("qkv", "proj", "fc1", "fc2")] == [3, 2, 4, None]
    linears = 3 * (8 + 24) + 24 + 2 * (8 + 8) + 8 + 4 * (8 + 16) + 16 + 16 * 8 + 8
    rest = 4 * 8 + 8 + 4 * 8 + 4 * 8 + 16 + 8 * 3 + 3  # patches, positions, norms, head
    assert subnet.num_params == linears + rest
    assert subnet.macs == 4 * (96 + 32 + 96 + 128) + 4 * 2 * 4 * 8 + 4 * 4 * 8 + 8 * 3
    assert SubnetConfig.parse(subnet.dump()) == subnet


def test_own_ratios_of_a_block_go_before_the_subnets_and_ranks_before_both() -> None:
    """Layers by hand: qkv 8 -> 24 dense, proj 8 -> 8 of rank 2, fc1 of rank 3, fc2 by the ratio."""
    block = BlockConfig(
        num_heads=2,
        head_dim=4,
        mlp_ratio=2.0,
        qkv_rank_ratio=1.0,
        proj_rank_ratio=0.25,
        fc1_rank_ratio=1.0,
        ranks=Ranks(fc1=3),
    )
    subnet = SubnetConfig(
        img_size=4,
        patch_size=2,
        in_chans=1,
        num_classes=3,
        embed_dim=8,
        rank_ratio=0.5,
        low_rank=("fc1", "fc2"),
        blocks=(block, BLOCK.model_copy(update={"num_heads": 1, "head_dim": 8})),
    )
    names = ("qkv", "proj", "fc1", "fc2")
    assert [subnet.rank(0, name) for name in names] == [None, 2, 3, 4]
    assert [subnet.rank(1, name) for name in names] == [None, None, 4, 4]
    assert [subnet.factored.rank(0, name) for name in names] == [8, 2, 3, 4]
    assert subnet.factored.merged == subnet
    first = 8 * 24 + 2 * (8 + 8) + 3 * (8 + 16) + 4 * (16 + 8)
    second = 8 * 24 + 8 * 8 + 4 * (8 + 32) + 4 * (32 + 8)
    attention = 2 * 2 * 4 * 8  # of both blocks, per token: queries by keys, weights by values
    assert subnet.macs == 4 * (first + second + attention) + 4 * 4 * 8 + 8 * 3
    assert subnet.mean_ratio(0, ("qkv", "proj", "fc2")) == pytest.approx((1 + 0.25 + 0.5) / 3)
    assert SubnetConfig.parse(subnet.dump()) == subnet
    assert "fc2_rank_ratio" not in block.dump()


def test_ranks_leave_the_digests_of_other_subnets_alone() -> None:
    """The key that version 0.1 gave DeiT-Tiny before there were ranks."""
    assert DEIT_TINY.key == "428715555f747618"
    assert BLOCK.model_copy(update={"ranks": None}).dump() == {
        "num_heads": 3,
        "head_dim": 64,
        "mlp_ratio": 4.0,
        "activation": "gelu",
    }
    assert BlockConfig.parse(BLOCK.dump() | {"ranks": {"qkv": None}}) == BLOCK


@given(hidden=st.integers(1, 16_384), embed_dim=st.integers(1, 4096))
@example(hidden=1, embed_dim=49)
def test_any_number_of_hidden_units_has_a_ratio(hidden: int, embed_dim: int) -> None:
    assert int(embed_dim * ratio_of_hidden(hidden, embed_dim)) == hidden


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
