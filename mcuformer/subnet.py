"""Subnets as values: the genes of one vision transformer and all that follows from them."""

from __future__ import annotations

import hashlib
from collections import Counter
from functools import lru_cache
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from mcuformer.value import Value

PositiveInt = Annotated[int, Field(gt=0)]
RankRatio = Annotated[float, Field(gt=0.0, le=1.0)]
LinearName = Literal["qkv", "proj", "fc1", "fc2"]
Tokenizer = Literal["patch", "conv1", "conv2"]
Activation = Literal["gelu", "relu", "hard_swish"]

NUM_CONVS: dict[Tokenizer, int] = {"patch": 0, "conv1": 1, "conv2": 2}
LINEARS: tuple[LinearName, ...] = ("qkv", "proj", "fc1", "fc2")
MAX_CONV_STRIDE = 3  # a 3 x 3 kernel then still sees every pixel


class BlockConfig(Value):
    """One transformer block: ``num_heads * head_dim`` is its query, key and value width.

    Args:
        num_heads: attention heads.
        head_dim: width of a head.
        mlp_ratio: hidden units of the MLP per unit of the embedding width.
        activation: function of the MLP's hidden units.
    """

    num_heads: PositiveInt
    head_dim: PositiveInt
    mlp_ratio: Annotated[float, Field(gt=0.0)]
    activation: Activation = "gelu"

    @property
    def attn_dim(self) -> int:
        """Width Q of the queries (and keys, values): heads times head_dim."""
        return self.num_heads * self.head_dim


class ConvConfig(NamedTuple):
    """One 3 x 3 convolution of a convolutional tokenizer; `size` is its output's side in pixels."""

    in_chans: int
    out_chans: int
    stride: int
    size: int


class SubnetConfig(Value):
    """A vision transformer, in timm's vocabulary plus `rank_ratio`.

    A linear layer named in `low_rank` is two factors ``x V U`` of rank ``int(rank_ratio * min(in,
    out))`` (at least 1); ``rank_ratio = 1`` means dense. `mlp_rank_ratio`, where given, takes its
    place in fc1 and fc2. A `patch_size` that does not divide
    `img_size` pads the image, evenly on both sides, up to the next multiple.

    Args:
        tokenizer: ``patch``, or ``conv1`` / ``conv2``: that many 3 x 3 convolutions, each with
            batch norm, ReLU and max pooling by 2 (CCT, Hassani et al., 2021, section 3.3); the
            first one's stride makes up the rest of `patch_size`, so the token count is the same.
        stem_dim: channels between the two convolutions of ``conv2``.
        class_token: one more token, in front of the patches.
        global_pool: what the head sees: the patch tokens' mean, or the class token.
        relative_position: largest distance of AutoFormer's two-dimensional relative position, with
            tables of keys and of values in every block; null is none.
        full_rank_factors: linears of ratio 1 still are two factors, of full rank (in a subnet of a
            joint supernet); the lowering merges them, see :attr:`merged`.
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
    full_rank_factors: bool = False
    tokenizer: Tokenizer = "patch"
    stem_dim: PositiveInt | None = None
    class_token: bool = False
    global_pool: Literal["avg", "token"] = "avg"
    absolute_position: bool = True
    relative_position: PositiveInt | None = None
    qkv_bias: bool = True
    fc_norm: bool = False
    norm_eps: Annotated[float, Field(gt=0.0)] = 1e-6

    @model_validator(mode="after")
    def _check(self) -> SubnetConfig:
        if self.patch_size > self.img_size:
            raise ValueError(f"patch_size {self.patch_size} exceeds img_size {self.img_size}")
        if self.global_pool == "token" and not self.class_token:
            raise ValueError("global_pool=token needs class_token=true")
        if (self.tokenizer == "conv2") != (self.stem_dim is not None):
            raise ValueError("stem_dim is for tokenizer conv2, and conv2 needs it")
        check_tokenizer(self.tokenizer, self.patch_size)
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
    def num_patches(self) -> int:
        """Tokens made of the image."""
        return self.grid_size**2

    @property
    def num_tokens(self) -> int:
        """Tokens N of the sequence, the class token included."""
        return self.num_patches + self.class_token

    @property
    def padding(self) -> tuple[int, int]:
        """Pixels added before and after the image, alike in both directions (tokenizer patch)."""
        total = self.grid_size * self.patch_size - self.img_size
        return total // 2, total - total // 2

    @property
    def convs(self) -> tuple[ConvConfig, ...]:
        """The convolutions of the tokenizer, each followed by a pooling by 2; none for patches."""
        count = NUM_CONVS[self.tokenizer]
        if count == 0:
            return ()
        middle = () if self.stem_dim is None else (self.stem_dim,)
        widths = (self.in_chans, *middle, self.embed_dim)
        size, convs = self.img_size, []
        for index in range(count):
            stride = self.patch_size // 2**count if index == 0 else 1
            size = -(-size // stride)
            convs.append(ConvConfig(widths[index], widths[index + 1], stride, size))
            size = -(-size // 2)
        return tuple(convs)

    @property
    def merged(self) -> SubnetConfig:
        """The network as it is deployed: full-rank factors multiplied out to dense layers."""
        if not self.full_rank_factors:
            return self
        return self.model_copy(update={"full_rank_factors": False})

    def hidden_dim(self, index: int) -> int:
        """Hidden units F of the MLP of block `index`."""
        return int(self.embed_dim * self.blocks[index].mlp_ratio)

    def linear_shape(self, index: int, name: LinearName) -> tuple[int, int]:
        """Return (in_features, out_features) of one linear of block `index`; qkv is fused."""
        dim, attn, hidden = self.embed_dim, self.blocks[index].attn_dim, self.hidden_dim(index)
        return _linear_shape(name, dim, attn, hidden)

    def ratio(self, name: LinearName) -> float | None:
        """Return the rank ratio of a linear, or None where it is dense."""
        if name not in self.low_rank:
            return None
        separate = self.mlp_rank_ratio is not None and name in ("fc1", "fc2")
        ratio = self.mlp_rank_ratio if separate else self.rank_ratio
        return None if ratio == 1.0 and not self.full_rank_factors else ratio

    def rank(self, index: int, name: LinearName) -> int | None:
        """Return the rank of one linear of block `index`, or None where it is dense."""
        ratio = self.ratio(name)
        return None if ratio is None else factor_rank(ratio, *self.linear_shape(index, name))

    @property
    def num_params(self) -> int:
        """Trainable parameters of the standalone network."""
        dim = self.embed_dim
        if self.tokenizer == "patch":
            total = self.in_chans * self.patch_size**2 * dim + dim
        else:  # a batch norm has two parameters a channel, its convolution no bias
            total = sum((9 * conv.in_chans + 2) * conv.out_chans for conv in self.convs)
        total += dim * self.class_token
        total += self.num_tokens * dim * self.absolute_position
        total += 2 * dim + dim * self.num_classes + self.num_classes  # norm, head
        for count, cost, block in self._costs():
            total += count * cost.params
            if self.relative_position is not None:
                total += count * 4 * (2 * self.relative_position + 2) * block.head_dim
        return total

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference: every linear, QK^T and AV, relative positions."""
        tokens, dim = self.num_tokens, self.embed_dim
        total = dim * self.num_classes
        if self.tokenizer == "patch":
            total += self.num_patches * self.in_chans * self.patch_size**2 * dim
        total += sum(9 * c.in_chans * c.out_chans * c.size**2 for c in self.convs)
        for count, cost, block in self._costs():
            total += count * tokens * (cost.macs_per_token + 2 * tokens * block.attn_dim)
            if self.relative_position is not None:  # a row and a column a token, of keys and values
                total += count * 4 * tokens * self.grid_size * block.attn_dim
        return total

    def _costs(self) -> list[tuple[int, BlockCost, BlockConfig]]:
        """Return how often each kind of block occurs, its cost and one such block."""
        kinds = Counter((b.num_heads, b.head_dim, b.mlp_ratio) for b in self.blocks)
        ratios = tuple(self.ratio(name) for name in LINEARS)
        return [
            (
                count,
                _block_cost(self.embed_dim, heads * head_dim, mlp_ratio, ratios, self.qkv_bias),
                build_block(heads, head_dim, mlp_ratio),
            )
            for (heads, head_dim, mlp_ratio), count in kinds.items()
        ]

    @property
    def key(self) -> str:
        """A short digest, equal for equal subnets."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


class BlockCost(NamedTuple):
    """Parameters of a block, and multiply-accumulates of its linears for one token."""

    params: int
    macs_per_token: int


@lru_cache(maxsize=4096)
def build_block(
    num_heads: int, head_dim: int, mlp_ratio: float, activation: Activation = "gelu"
) -> BlockConfig:
    """Build a block, or return the equal one built before."""
    return BlockConfig(
        num_heads=num_heads, head_dim=head_dim, mlp_ratio=mlp_ratio, activation=activation
    )


@lru_cache(maxsize=65536)
def _block_cost(
    dim: int, attn: int, mlp_ratio: float, ratios: tuple[float | None, ...], qkv_bias: bool
) -> BlockCost:
    """Count one block; `ratios` in the order of :data:`LINEARS`."""
    params, macs = 4 * dim, 0  # norm1, norm2
    for name, ratio in zip(LINEARS, ratios, strict=True):
        features_in, features_out = _linear_shape(name, dim, attn, int(dim * mlp_ratio))
        weights = features_in * features_out
        if ratio is not None:
            rank = factor_rank(ratio, features_in, features_out)
            weights = rank * (features_in + features_out)
        macs += weights
        params += weights + (features_out if name != "qkv" or qkv_bias else 0)
    return BlockCost(params, macs)


def _linear_shape(name: LinearName, dim: int, attn: int, hidden: int) -> tuple[int, int]:
    if name == "qkv":
        return dim, 3 * attn
    if name == "proj":
        return attn, dim
    return (dim, hidden) if name == "fc1" else (hidden, dim)


def check_tokenizer(tokenizer: Tokenizer, patch_size: int) -> None:
    """Refuse a convolutional tokenizer whose strides cannot make up `patch_size`.

    Raises:
        ValueError: naming both.
    """
    count = NUM_CONVS[tokenizer]
    stride, rest = divmod(patch_size, 2**count)
    if count and (rest or not 1 <= stride <= MAX_CONV_STRIDE):
        sizes = [2**count * stride for stride in range(1, MAX_CONV_STRIDE + 1)]
        raise ValueError(f"tokenizer {tokenizer} takes patch_size {sizes}, not {patch_size}")


def factor_rank(rank_ratio: float, in_features: int, out_features: int) -> int:
    """Return ``int(rank_ratio * min(in, out))``, at least 1 (method: two factors, nested ranks).

    The product is rounded to 9 digits first, so that 0.7 of 10 is 7 and not 6.
    """
    return max(1, int(round(rank_ratio * min(in_features, out_features), 9)))


def released_num_params(subnet: SubnetConfig, super_embed_dim: int) -> int:
    """Count parameters as the released code does (liangyn22/MCUFormer, its log files).

    Three factors in qkv, proj, fc1 and fc2, with biases on the last alone; the attention ranks
    follow the stored width `super_embed_dim` and not the subnet's; class token and relative
    position tables (largest distance 14) are counted whatever the subnet has.
    """
    dim = subnet.embed_dim
    total = subnet.in_chans * subnet.patch_size**2 * dim + dim  # patch embedding
    total += dim * (2 + subnet.num_patches)  # class token, positions
    total += 2 * dim + dim * subnet.num_classes + subnet.num_classes
    attn_rank = factor_rank(subnet.rank_ratio, super_embed_dim, super_embed_dim)
    mlp_rank = factor_rank(subnet.rank_ratio, dim, dim)
    for index, block in enumerate(subnet.blocks):
        total += 4 * dim + 120 * block.head_dim
        for name in LINEARS:
            features_in, features_out = subnet.linear_shape(index, name)
            rank = attn_rank if name in ("qkv", "proj") else mlp_rank
            total += rank * (features_in + rank + features_out) + features_out
    return total
