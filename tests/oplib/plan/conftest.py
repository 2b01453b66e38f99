"""Networks whose memory is worked out by hand."""

from __future__ import annotations

import pytest

from mcuformer.subnet import BlockConfig, SubnetConfig
from oplib.forms import Forms, Passes
from oplib.plan.schedule import Schedule, schedule


@pytest.fixture(scope="session")
def deit_tiny() -> SubnetConfig:
    """DeiT-Tiny (Touvron et al., 2021, table 1) without its class token: 196 tokens, 192 wide."""
    return SubnetConfig(
        img_size=224,
        patch_size=16,
        in_chans=3,
        num_classes=1000,
        embed_dim=192,
        blocks=(BlockConfig(num_heads=3, head_dim=64, mlp_ratio=4.0),) * 12,
    )


@pytest.fixture(scope="session")
def paper_subnet() -> SubnetConfig:
    """A network of MCUFormer's space for 320 KB: 144 tokens, 216 wide, 4 heads, low rank."""
    return SubnetConfig(
        img_size=240,
        patch_size=20,
        in_chans=3,
        num_classes=1000,
        embed_dim=216,
        low_rank=("qkv", "fc1", "fc2"),
        rank_ratio=0.9,
        blocks=(BlockConfig(num_heads=4, head_dim=64, mlp_ratio=4.0),) * 14,
    )


@pytest.fixture
def layered(small_subnet: SubnetConfig) -> Schedule:
    """Layer by layer, in place where an input dies."""
    return schedule(small_subnet, Forms(passes=Passes(stream_tokens=False)))


@pytest.fixture
def separate(small_subnet: SubnetConfig) -> Schedule:
    """Layer by layer, every tensor with bytes of its own."""
    passes = Passes(integrate_operators=False, overwrite_tokens=False, stream_tokens=False)
    return schedule(small_subnet, Forms(passes=passes))
