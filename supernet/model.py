"""The supernet of one space point or of all points: the weights of every subnet at once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mcuformer.space import SearchSpace, SpacePoint
from mcuformer.subnet import SubnetConfig
from supernet.activation import ACTIVATIONS
from supernet.attention import ElasticAttention, apply_linear, build_linear
from supernet.elastic import ElasticLayerNorm, ElasticLinear
from supernet.modules import TypedModuleDict, TypedModuleList, drop_branch
from supernet.tokenizer import Tokenizer, build_tokenizer, resize_positions

POS_EMBED_STD = 0.3


class ElasticMlp(nn.Module):
    """fc1, activation, fc2 of block `index`, shared by slicing."""

    def __init__(self, largest: SubnetConfig, index: int) -> None:
        super().__init__()
        self.index = index
        self.fc1 = build_linear(largest, index, "fc1")
        self.fc2 = build_linear(largest, index, "fc2")

    def forward(self, x: Tensor, subnet: SubnetConfig) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        activation = ACTIVATIONS[subnet.blocks[self.index].activation]
        x = activation(apply_linear(self.fc1, x, subnet, self.index, "fc1"))
        return apply_linear(self.fc2, x, subnet, self.index, "fc2")


class ElasticBlock(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, largest: SubnetConfig, index: int, max_head_dim: int) -> None:
        super().__init__()
        self.norm1 = ElasticLayerNorm(largest.embed_dim, largest.norm_eps)
        self.attn = ElasticAttention(largest, index, max_head_dim)
        self.norm2 = ElasticLayerNorm(largest.embed_dim, largest.norm_eps)
        self.mlp = ElasticMlp(largest, index)

    def forward(self, x: Tensor, subnet: SubnetConfig, drop_prob: float) -> Tensor:
        """Map (B, N, D) to (B, N, D); in training each branch is dropped with `drop_prob`."""
        x = x + drop_branch(self.attn(self.norm1(x), subnet), drop_prob, self.training)
        mlp: Tensor = drop_branch(self.mlp(self.norm2(x), subnet), drop_prob, self.training)
        return x + mlp


class Supernet(nn.Module):
    """An elastic vision transformer; `forward` takes the subnet as an argument.

    Args:
        space: search space of the subnets.
        point: outer point that fixes patch size and rank ratio. None is the joint supernet (the
            paper's baseline), elastic in both: its factors have full rank, its patch embedding is
            stored at the largest patch size and its position embedding at the finest grid, and
            both are resized. In a space with a rank per layer, factors always have full rank.
        pad_value: normalised value of the padding pixel, per channel.
        drop_path_rate: stochastic depth of the deepest subnet's last block; see :func:`drop_rates`.
    """

    def __init__(
        self,
        space: SearchSpace,
        point: SpacePoint | None,
        pad_value: tuple[float, ...],
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.full_rank_factors = needs_full_rank(space, point)
        self.drop_path_rate = drop_path_rate
        points = space.points() if point is None else (point,)
        widest = max(points, key=lambda p: (p.patch_size, p.rank_ratio))
        largest = space.largest(widest)
        self.largest = largest = largest.factored if self.full_rank_factors else largest
        tokenizers: dict[str, Tokenizer] = {}
        for name in space.tokenizer:
            stem_dim = space.stem_dim if name == "conv2" else None
            shape = largest.model_copy(update={"tokenizer": name, "stem_dim": stem_dim})
            tokenizers[name] = build_tokenizer(shape, pad_value)
        self.tokenizers = TypedModuleDict(tokenizers)
        num_patches = max(space.largest(p).num_patches for p in points)
        self.cls_token = build_class_token(largest)
        self.pos_embed = build_position(largest, num_patches)
        self.blocks = TypedModuleList(
            ElasticBlock(largest, i, space.max_head_dim) for i in range(largest.depth)
        )
        self.norm = ElasticLayerNorm(largest.embed_dim, largest.norm_eps)
        self.head = ElasticLinear(largest.embed_dim, largest.num_classes)

    @property
    def pad_value(self) -> tuple[float, ...]:
        """Normalised value of the padding pixel, per channel."""
        return next(iter(self.tokenizers.values())).pad_value

    def positions(self, subnet: SubnetConfig) -> Tensor | None:
        """Return the position embedding of `subnet` (1, N, D), or None."""
        if self.pos_embed is None:
            return None
        positions, first = self.pos_embed[..., : subnet.embed_dim], int(subnet.class_token)
        patches = resize_positions(positions[:, first:], subnet.grid_size)
        return torch.cat([positions[:, :first], patches], dim=1) if first else patches

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters that must not decay; timm's factory adds 1-D ones."""
        return undecayed(self)

    def forward(self, x: Tensor, subnet: SubnetConfig) -> Tensor:
        """Run `subnet` on images (B, C, H, W); return logits (B, num_classes)."""
        x = self.tokenizers[subnet.tokenizer](x, subnet)
        cls_token = None if self.cls_token is None else self.cls_token[..., : subnet.embed_dim]
        x = add_tokens(x, cls_token, self.positions(subnet))
        rates = drop_rates(self.drop_path_rate, subnet.depth, self.largest.depth)
        for block, rate in zip(self.blocks, rates, strict=False):  # the first `depth` blocks
            x = block(x, subnet, rate)
        logits: Tensor = self.head(pool(self.norm(x), subnet), subnet.num_classes)
        return logits


def needs_full_rank(space: SearchSpace, point: SpacePoint | None) -> bool:
    """Return whether a supernet holds subnets of several ranks, so that its factors have full rank.

    Args:
        space: search space of the subnets.
        point: outer point of the supernet, or None for the joint one.
    """
    return point is None or space.rank_per_layer


def build_class_token(subnet: SubnetConfig) -> nn.Parameter | None:
    """Return a new class token (1, 1, D), or None if `subnet` does not use one."""
    if not subnet.class_token:
        return None
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, subnet.embed_dim), std=0.02))


def build_position(subnet: SubnetConfig, num_patches: int) -> nn.Parameter | None:
    """Return a new position embedding (1, N, D), or None if `subnet` does not use one."""
    if not subnet.absolute_position:
        return None
    shape = (1, num_patches + subnet.class_token, subnet.embed_dim)
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=POS_EMBED_STD))


def add_tokens(x: Tensor, cls_token: Tensor | None, positions: Tensor | None) -> Tensor:
    """Put the class token in front of the patches (B, N, D) and add the positions."""
    if cls_token is not None:
        x = torch.cat([cls_token.expand(len(x), -1, -1), x], dim=1)
    return x if positions is None else x + positions


def pool(x: Tensor, subnet: SubnetConfig) -> Tensor:
    """Reduce tokens (B, N, D) to the input of the head, (B, D)."""
    if subnet.global_pool == "token":
        return x[:, 0]
    return x[:, int(subnet.class_token) :].mean(dim=1)


def drop_rates(rate: float, depth: int, max_depth: int) -> list[float]:
    """Return the stochastic depth of each block, rising linearly from 0.

    The last block's is `rate` in proportion to depth: a subnet of half the depth ends at half the
    rate, because it has fewer blocks to spare.

    >>> drop_rates(0.5, depth=3, max_depth=6)
    [0.0, 0.125, 0.25]
    """
    last = rate * depth / max_depth
    return [last * index / max(1, depth - 1) for index in range(depth)]


def undecayed(model: nn.Module) -> set[str]:
    """Return the names of positions, class token, relative position tables and log variances."""
    parts = ("pos_embed", "cls_token", ".relative.", "log_variance")
    return {name for name, _ in model.named_parameters() if any(part in name for part in parts)}
