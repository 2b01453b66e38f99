"""The static vision transformer: one subnet on its own, in timm's parameter names."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mcuformer.subnet import LinearName, SubnetConfig
from supernet.attention import attend
from supernet.elastic import init_weight
from supernet.low_rank import LowRankLinear
from supernet.model import POS_EMBED_STD
from supernet.tokenizer import PatchEmbed


def _linear(subnet: SubnetConfig, index: int, name: LinearName) -> nn.Module:
    features_in, features_out = subnet.linear_shape(index, name)
    bias = name != "qkv" or subnet.qkv_bias
    rank = subnet.rank(index, name)
    if rank is not None:
        return LowRankLinear(features_in, features_out, rank, bias=bias)
    return build_dense(features_in, features_out, bias=bias)


def build_dense(in_features: int, out_features: int, *, bias: bool = True) -> nn.Linear:
    """Build a linear layer with the supernet's initialisation."""
    layer = nn.Linear(in_features, out_features, bias=bias)
    init_weight(layer.weight, in_features)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, subnet: SubnetConfig, index: int) -> None:
        super().__init__()
        self.num_heads = subnet.blocks[index].num_heads
        self.qkv = _linear(subnet, index, "qkv")
        self.proj = _linear(subnet, index, "proj")

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        return self.proj(attend(self.qkv(x), self.num_heads))


class Mlp(nn.Module):
    """fc1, exact GELU, fc2."""

    def __init__(self, subnet: SubnetConfig, index: int) -> None:
        super().__init__()
        self.fc1 = _linear(subnet, index, "fc1")
        self.fc2 = _linear(subnet, index, "fc2")

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        return self.fc2(functional.gelu(self.fc1(x)))


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, subnet: SubnetConfig, index: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(subnet.embed_dim, subnet.norm_eps)
        self.attn = Attention(subnet, index)
        self.norm2 = nn.LayerNorm(subnet.embed_dim, subnet.norm_eps)
        self.mlp = Mlp(subnet, index)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Vit(nn.Module):
    """A vision transformer without class token: patches, blocks, norm, mean over tokens, head.

    With ``fc_norm`` the norm follows the mean, as timm does for average pooling.
    """

    def __init__(self, subnet: SubnetConfig, pad_value: tuple[float, ...]) -> None:
        super().__init__()
        self.subnet = subnet
        self.patch_embed = PatchEmbed(subnet, pad_value)
        self.pos_embed = nn.Parameter(torch.empty(1, subnet.num_tokens, subnet.embed_dim))
        nn.init.trunc_normal_(self.pos_embed, std=POS_EMBED_STD)
        self.blocks = nn.ModuleList(Block(subnet, index) for index in range(subnet.depth))
        norm = nn.LayerNorm(subnet.embed_dim, subnet.norm_eps)
        self.norm = nn.Identity() if subnet.fc_norm else norm
        self.fc_norm = norm if subnet.fc_norm else nn.Identity()
        self.head = build_dense(subnet.embed_dim, subnet.num_classes)

    def no_weight_decay(self) -> set[str]:
        """Name the parameters that timm's optimiser factory must not decay, besides 1-D ones."""
        return {"pos_embed"}

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, C, H, W) to logits (B, num_classes)."""
        x = self.patch_embed(x, self.subnet) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.head(self.fc_norm(self.norm(x).mean(dim=1)))
