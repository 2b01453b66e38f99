"""Subnets as values: the genes of one vision transformer and all that follows from them."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import Field, model_validator

from mcuformer.value import Value

PositiveInt = Annotated[int, Field(gt=0)]
RankRatio = Annotated[float, Field(gt=0.0, le=1.0)]
LinearName = Literal["qkv", "proj", "fc1", "fc2"]


class BlockConfig(Value):
    """One transformer block: ``num_heads * head_dim`` is its query, key and value width."""

    num_heads: PositiveInt
    head_dim: PositiveInt
    mlp_ratio: Annotated[float, Field(gt=0.0)]

    @property
    def attn_dim(self) -> int:
        """Width Q of the queries (and keys, values): heads times head_dim."""
        return self.num_heads * self.head_dim


class SubnetConfig(Value):
    """A vision transformer, in timm's vocabulary plus `rank_ratio`.

    A linear layer named in `low_rank` is two factors ``x V U`` of rank ``int(rank_ratio * min(in,
    out))`` (at least 1); ``rank_ratio = 1`` means dense. `mlp_rank_ratio`, where given, takes its
    place in fc1 and fc2. A `patch_size` that does not divide
    `img_size` pads the image, evenly on both sides, up to the next multiple.
    """

    img_size: PositiveInt
    patch_size: PositiveInt
    in_chans: PositiveInt
    num_classes: PositiveInt
    embed_dim: PositiveInt
    blocks: Annotated[tuple[BlockConfig, ...], Field(min_length=1)]
    rank_ratio: RankRatio = 1.0
    mlp_rank_ratio: RankRatio | None = None
    low_rank: tuple[LinearName, ...] = ("qkv", "fc1", "fc2")
    qkv_bias: bool = True
    fc_norm: bool = False
    norm_eps: Annotated[float, Field(gt=0.0)] = 1e-6

    @model_validator(mode="after")
    def _check(self) -> SubnetConfig:
        if self.patch_size > self.img_size:
            raise ValueError(f"patch_size {self.patch_size} exceeds img_size {self.img_size}")
        return self

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def grid_size(self) -> int:
        """Patches along one side, counting a padded one."""
        return -(-self.img_size // self.patch_size)

    @property
    def num_tokens(self) -> int:
        """Tokens N of the sequence (no class token)."""
        return self.grid_size**2

    @property
    def padding(self) -> tuple[int, int]:
        """Pixels added before and after the image, alike in both directions."""
        total = self.grid_size * self.patch_size - self.img_size
        return total // 2, total - total // 2

    def hidden_dim(self, index: int) -> int:
        """Hidden units F of the MLP of block `index`."""
        return int(self.embed_dim * self.blocks[index].mlp_ratio)

    def linear_shape(self, index: int, name: LinearName) -> tuple[int, int]:
        """Return (in_features, out_features) of one linear of block `index`; qkv is fused."""
        dim, attn, hidden = self.embed_dim, self.blocks[index].attn_dim, self.hidden_dim(index)
        return {
            "qkv": (dim, 3 * attn),
            "proj": (attn, dim),
            "fc1": (dim, hidden),
            "fc2": (hidden, dim),
        }[name]

    def rank(self, index: int, name: LinearName) -> int | None:
        """Return the rank of one linear of block `index`, or None where it is dense."""
        separate = self.mlp_rank_ratio is not None and name in ("fc1", "fc2")
        ratio = self.mlp_rank_ratio if separate else self.rank_ratio
        if ratio is None or ratio == 1.0 or name not in self.low_rank:
            return None
        return factor_rank(ratio, *self.linear_shape(index, name))

    @property
    def num_params(self) -> int:
        """Trainable parameters of the standalone network."""
        dim = self.embed_dim
        patch = self.in_chans * self.patch_size**2
        total = patch * dim + dim + self.num_tokens * dim  # patch embedding, positions
        total += 2 * dim + dim * self.num_classes + self.num_classes  # norm, head
        for index in range(self.depth):
            total += 4 * dim  # norm1, norm2
            for name in LINEARS:
                features_in, features_out = self.linear_shape(index, name)
                rank = self.rank(index, name)
                weights = features_in * features_out
                total += weights if rank is None else rank * (features_in + features_out)
                total += features_out if name != "qkv" or self.qkv_bias else 0
        return total

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference: every linear, QK^T and AV."""
        tokens, dim = self.num_tokens, self.embed_dim
        total = tokens * self.in_chans * self.patch_size**2 * dim + dim * self.num_classes
        for index, block in enumerate(self.blocks):
            for name in LINEARS:
                features_in, features_out = self.linear_shape(index, name)
                rank = self.rank(index, name)
                weights = features_in * features_out
                per_token = weights if rank is None else rank * (features_in + features_out)
                total += tokens * per_token
            total += 2 * tokens * tokens * block.attn_dim
        return total

    @property
    def key(self) -> str:
        """A short digest, equal for equal subnets."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


LINEARS: tuple[LinearName, ...] = ("qkv", "proj", "fc1", "fc2")


def factor_rank(rank_ratio: float, in_features: int, out_features: int) -> int:
    """Return ``int(rank_ratio * min(in, out))``, at least 1 (method: two factors, nested ranks).

    The product is rounded to 9 digits first, so that 0.7 of 10 is 7 and not 6.
    """
    return max(1, int(round(rank_ratio * min(in_features, out_features), 9)))
