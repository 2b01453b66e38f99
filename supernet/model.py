"""The supernet of one space point: every subnet's weights at once."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mcuformer.space import SearchSpace, SpacePoint
from mcuformer.subnet import SubnetConfig
from supernet.attention import ElasticAttention, apply_linear, build_linear
from supernet.elastic import ElasticLayerNorm, ElasticLinear
from supernet.tokenizer import PatchEmbed, resize_positions

POS_EMBED_STD = 0.3


class ElasticMlp(nn.Module):
    """fc1, GELU, fc2 of block `index`, shared by slicing."""

    def __init__(self, largest: SubnetConfig, index: int, *, joint: bool) -> None:
        super().__init__()
        self.index = index
        self.fc1 = build_linear(largest, index, "fc1", joint=joint)
        self.fc2 = build_linear(largest, index, "fc2", joint=joint)

    def forward(self, x: Tensor, subnet: SubnetConfig) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        x = functional.gelu(apply_linear(self.fc1, x, subnet, self.index, "fc1"))
        return apply_linear(self.fc2, x, subnet, self.index, "fc2")


class ElasticBlock(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, largest: SubnetConfig, index: int, *, joint: bool) -> None:
        super().__init__()
        self.norm1 = ElasticLayerNorm(largest.embed_dim, largest.norm_eps)
        self.attn = ElasticAttention(largest, index, joint=joint)
        self.norm2 = ElasticLayerNorm(largest.embed_dim, largest.norm_eps)
        self.mlp = ElasticMlp(largest, index, joint=joint)

    def forward(self, x: Tensor, subnet: SubnetConfig) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        x = x + self.attn(self.norm1(x), subnet)
        return x + self.mlp(self.norm2(x), subnet)


class Supernet(nn.Module):
    """An elastic vision transformer; `forward` takes the subnet as an argument.

    Args:
        space: the search space.
        point: its outer point, which fixes patch size and rank ratio; None is the joint supernet,
            elastic in both: factors of full rank, one patch embedding stored at the largest patch
            and one position embedding stored at the finest grid, both resized (the paper's
            baseline).
        pad_value: normalised value of each channel that padding consists of.
    """

    def __init__(
        self, space: SearchSpace, point: SpacePoint | None, pad_value: tuple[float, ...]
    ) -> None:
        super().__init__()
        joint = point is None
        points = space.points() if point is None else (point,)
        largest = space.largest(max(points, key=lambda p: (p.patch_size, p.rank_ratio)))
        num_tokens = max(space.largest(p).num_tokens for p in points)
        self.patch_embed = PatchEmbed(largest, pad_value)
        self.pos_embed = nn.Parameter(torch.empty(1, num_tokens, largest.embed_dim))
        nn.init.trunc_normal_(self.pos_embed, std=POS_EMBED_STD)
        self.blocks = nn.ModuleList(
            ElasticBlock(largest, i, joint=joint) for i in range(largest.depth)
        )
        self.norm = ElasticLayerNorm(largest.embed_dim, largest.norm_eps)
        self.head = ElasticLinear(largest.embed_dim, largest.num_classes)

    def no_weight_decay(self) -> set[str]:
        """Name the parameters that timm's optimiser factory must not decay, besides 1-D ones."""
        return {"pos_embed"}

    def forward(self, x: Tensor, subnet: SubnetConfig) -> Tensor:
        """Run `subnet` on images (B, C, H, W); return logits (B, num_classes)."""
        positions = resize_positions(self.pos_embed[..., : subnet.embed_dim], subnet.grid_size)
        x = self.patch_embed(x, subnet) + positions
        for index in range(subnet.depth):
            x = self.blocks[index](x, subnet)
        return self.head(self.norm(x).mean(dim=1), subnet.num_classes)
