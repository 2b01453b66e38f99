"""Multi-head self-attention, elastic in width, heads and rank."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from mcuformer.subnet import LinearName, SubnetConfig
from supernet.elastic import ElasticLinear
from supernet.low_rank import ElasticLowRankLinear


def attend(qkv: Tensor, num_heads: int) -> Tensor:
    """Return softmax(Q K^T / sqrt(head_dim)) V.

    Args:
        qkv: (B, N, 3 * Q), query, key and value in turn, each head-major.
        num_heads: H; head_dim is Q / H.

    Returns:
        (B, N, Q).
    """
    q, k, v = rearrange(qkv, "b n (s h d) -> s b h n d", s=3, h=num_heads)
    return rearrange(functional.scaled_dot_product_attention(q, k, v), "b h n d -> b n (h d)")


def build_linear(
    largest: SubnetConfig, index: int, name: LinearName, *, joint: bool
) -> ElasticLinear | ElasticLowRankLinear:
    """Build one elastic linear of block `index` at the size it has in `largest`.

    In a joint supernet a factorised linear has factors of full rank, which every ratio slices.
    """
    features_in, features_out = largest.linear_shape(index, name)
    sections = 3 if name == "qkv" else 1
    bias = name != "qkv" or largest.qkv_bias
    full_rank = min(features_in, features_out)
    rank = full_rank if joint and name in largest.low_rank else largest.rank(index, name)
    if rank is None:
        return ElasticLinear(features_in, features_out // sections, bias=bias, sections=sections)
    return ElasticLowRankLinear(
        features_in, features_out // sections, rank, bias=bias, sections=sections
    )


def apply_linear(
    layer: nn.Module, x: Tensor, subnet: SubnetConfig, index: int, name: LinearName
) -> Tensor:
    """Run one elastic linear at the size it has in `subnet`."""
    out = subnet.linear_shape(index, name)[1] // (3 if name == "qkv" else 1)
    if isinstance(layer, ElasticLowRankLinear):
        rank = subnet.rank(index, name) or min(subnet.linear_shape(index, name))
        return layer(x, out, rank)
    return layer(x, out)


class ElasticAttention(nn.Module):
    """Attention of block `index`: qkv and output projection shared by slicing."""

    def __init__(self, largest: SubnetConfig, index: int, *, joint: bool) -> None:
        super().__init__()
        self.index = index
        self.qkv = build_linear(largest, index, "qkv", joint=joint)
        self.proj = build_linear(largest, index, "proj", joint=joint)

    def forward(self, x: Tensor, subnet: SubnetConfig) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        qkv = apply_linear(self.qkv, x, subnet, self.index, "qkv")
        out = attend(qkv, subnet.blocks[self.index].num_heads)
        return apply_linear(self.proj, out, subnet, self.index, "proj")
