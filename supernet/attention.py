"""Multi-head self-attention, elastic in width, heads and rank."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from mcuformer.subnet import LinearName, SubnetConfig
from supernet.elastic import ElasticLinear
from supernet.low_rank import ElasticLowRankLinear
from supernet.relative_position import RelativePosition


def attend(
    qkv: Tensor, num_heads: int, relative: RelativePosition | None, grid_size: int
) -> Tensor:
    """Return softmax(Q K^T / sqrt(head_dim)) V.

    With relative positions: softmax((Q K^T + Q R_k^T) / sqrt(head_dim)) (V + R_v), where R_k and
    R_v depend on the pair of query and key.

    Args:
        qkv: queries, keys and values in turn, each head-major, (B, N, 3 * Q).
        num_heads: number of heads H; head_dim is Q / H.
        relative: relative position tables of the block, or None.
        grid_size: patches along one side of the image.

    Returns:
        Attended values, (B, N, Q).
    """
    q, k, v = rearrange(qkv, "b n (s h d) -> s b h n d", s=3, h=num_heads)
    if relative is None:
        out = functional.scaled_dot_product_attention(q, k, v)
    else:
        scores = q @ k.transpose(-2, -1) + relative.scores(q, grid_size)
        weights = (scores * q.shape[-1] ** -0.5).softmax(dim=-1)
        out = weights @ v + relative.values(weights, grid_size, q.shape[-1])
    return rearrange(out, "b h n d -> b n (h d)")


def build_linear(
    largest: SubnetConfig, index: int, name: LinearName
) -> ElasticLinear | ElasticLowRankLinear:
    """Build one elastic linear of block `index` at its size in `largest`.

    In a supernet of several ranks the factors have full rank, and every ratio slices them.
    """
    features_in, features_out = largest.linear_shape(index, name)
    sections = 3 if name == "qkv" else 1
    bias = name != "qkv" or largest.qkv_bias
    rank = largest.rank(index, name)
    if largest.full_rank_factors and name in largest.low_rank:
        rank = min(features_in, features_out)
    if rank is None:
        return ElasticLinear(features_in, features_out // sections, bias=bias, sections=sections)
    return ElasticLowRankLinear(
        features_in, features_out // sections, rank, bias=bias, sections=sections
    )


def apply_linear(
    layer: ElasticLinear | ElasticLowRankLinear,
    x: Tensor,
    subnet: SubnetConfig,
    index: int,
    name: LinearName,
) -> Tensor:
    """Apply one elastic linear of block `index` to (..., in), at its size in `subnet`."""
    features_out = subnet.linear_shape(index, name)[1] // (3 if name == "qkv" else 1)
    out: Tensor
    if isinstance(layer, ElasticLowRankLinear):
        out = layer(x, features_out, factor_width(subnet, index, name))
    else:
        out = layer(x, features_out)
    return out


def factor_width(subnet: SubnetConfig, index: int, name: LinearName) -> int:
    """Return the channels between the two factors: the rank, or full rank if the ratio is 1."""
    return subnet.rank(index, name) or min(subnet.linear_shape(index, name))


def build_relative_position(subnet: SubnetConfig, head_dim: int) -> RelativePosition | None:
    """Build the relative position tables of one block; None if `subnet` does not use them."""
    if subnet.relative_position is None:
        return None
    return RelativePosition(subnet.relative_position, head_dim)


class ElasticAttention(nn.Module):
    """Attention of block `index`, whose qkv and output projections are shared by slicing.

    Args:
        largest: subnet that all weights are stored for.
        index: number of the block.
        max_head_dim: largest width of a head in any subnet. Where attention width and heads are
            independent genes, that is not the head width of the largest subnet.
    """

    def __init__(self, largest: SubnetConfig, index: int, max_head_dim: int) -> None:
        super().__init__()
        self.index = index
        self.qkv = build_linear(largest, index, "qkv")
        self.proj = build_linear(largest, index, "proj")
        self.relative = build_relative_position(largest, max_head_dim)

    def forward(self, x: Tensor, subnet: SubnetConfig) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        qkv = apply_linear(self.qkv, x, subnet, self.index, "qkv")
        heads = subnet.blocks[self.index].num_heads
        out = attend(qkv, heads, self.relative, subnet.grid_size)
        return apply_linear(self.proj, out, subnet, self.index, "proj")
