"""The static vision transformer: one subnet on its own, with timm's parameter names."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from mcuformer.subnet import LinearName, SubnetConfig
from supernet.activation import ACTIVATIONS
from supernet.attention import attend, build_relative_position
from supernet.elastic import Linear
from supernet.low_rank import LowRankLinear
from supernet.model import (
    add_tokens,
    build_class_token,
    build_position,
    drop_rates,
    pool,
    undecayed,
)
from supernet.modules import TypedModuleList, drop_branch
from supernet.tokenizer import build_tokenizer


def _linear(subnet: SubnetConfig, index: int, name: LinearName) -> Linear | LowRankLinear:
    features_in, features_out = subnet.linear_shape(index, name)
    bias = name != "qkv" or subnet.qkv_bias
    rank = subnet.rank(index, name)
    if rank is not None:
        return LowRankLinear(features_in, features_out, rank, bias=bias)
    return Linear(features_in, features_out, bias=bias)


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, subnet: SubnetConfig, index: int) -> None:
        super().__init__()
        self.num_heads, self.grid_size = subnet.blocks[index].num_heads, subnet.grid_size
        self.qkv = _linear(subnet, index, "qkv")
        self.proj = _linear(subnet, index, "proj")
        self.relative = build_relative_position(subnet, subnet.blocks[index].head_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        out = attend(self.qkv(x), self.num_heads, self.relative, self.grid_size)
        projected: Tensor = self.proj(out)
        return projected


class Mlp(nn.Module):
    """fc1, activation, fc2."""

    def __init__(self, subnet: SubnetConfig, index: int) -> None:
        super().__init__()
        self.fc1 = _linear(subnet, index, "fc1")
        self.fc2 = _linear(subnet, index, "fc2")
        self.activation = ACTIVATIONS[subnet.blocks[index].activation]

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        out: Tensor = self.fc2(self.activation(self.fc1(x)))
        return out


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, subnet: SubnetConfig, index: int, drop_prob: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(subnet.embed_dim, subnet.norm_eps)
        self.attn = Attention(subnet, index)
        self.norm2 = nn.LayerNorm(subnet.embed_dim, subnet.norm_eps)
        self.mlp = Mlp(subnet, index)
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        x = x + drop_branch(self.attn(self.norm1(x)), self.drop_prob, self.training)
        mlp: Tensor = drop_branch(self.mlp(self.norm2(x)), self.drop_prob, self.training)
        return x + mlp


class Vit(nn.Module):
    """A vision transformer: tokenizer, blocks, norm, pooling, head.

    With ``fc_norm`` the norm follows the pooling, as in timm's networks with average pooling.

    Args:
        subnet: architecture of the network.
        pad_value: normalised value of the padding pixel, per channel.
        drop_path_rate: stochastic depth of the last block; it rises linearly from 0 at the first.
    """

    pretrained_cfg: dict[str, Any]  # timm reads this and the next
    default_cfg: dict[str, Any]

    def __init__(
        self, subnet: SubnetConfig, pad_value: tuple[float, ...], drop_path_rate: float = 0.0
    ) -> None:
        super().__init__()
        self.subnet, self.num_classes = subnet, subnet.num_classes
        self.patch_embed = build_tokenizer(subnet, pad_value)
        self.cls_token = build_class_token(subnet)
        self.pos_embed = build_position(subnet, subnet.num_patches)
        rates = drop_rates(drop_path_rate, subnet.depth, subnet.depth)
        self.blocks = TypedModuleList(Block(subnet, i, rate) for i, rate in enumerate(rates))
        norm = nn.LayerNorm(subnet.embed_dim, subnet.norm_eps)
        self.norm = nn.Identity() if subnet.fc_norm else norm
        self.fc_norm = norm if subnet.fc_norm else nn.Identity()
        self.head = Linear(subnet.embed_dim, subnet.num_classes)

    @property
    def pad_value(self) -> tuple[float, ...]:
        """Normalised value of the padding pixel, per channel."""
        return self.patch_embed.pad_value

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters that must not decay; timm's factory adds 1-D ones."""
        return undecayed(self)

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the head with a fresh one for `num_classes` classes."""
        self.num_classes = num_classes
        self.subnet = self.subnet.model_copy(update={"num_classes": num_classes})
        self.head = Linear(self.subnet.embed_dim, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """Map images (B, C, H, W) to tokens (B, N, D)."""
        x = add_tokens(self.patch_embed(x, self.subnet), self.cls_token, self.pos_embed)
        for block in self.blocks:
            x = block(x)
        tokens: Tensor = self.norm(x)
        return tokens

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Map tokens (B, N, D) to logits (B, num_classes), or to the head's input (B, D)."""
        out: Tensor = self.fc_norm(pool(x, self.subnet))
        if not pre_logits:
            out = self.head(out)
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, C, H, W) to logits (B, num_classes)."""
        return self.forward_head(self.forward_features(x))
