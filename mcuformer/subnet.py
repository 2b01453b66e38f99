"""Subnets as values: the genes of one vision transformer, and the sizes that follow from them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from math import inf, nextafter
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from mcuformer.limits import (
    MAX_DEPTH,
    MAX_PARAMS,
    MAX_TOKEN_HEADS,
    MAX_TOKENS,
    Distance,
    ImgSize,
    InChans,
    MlpRatio,
    NormEps,
    NumClasses,
    NumHeads,
    PatchSize,
    Rank,
    RankRatio,
    Width,
)
from mcuformer.tokenizer import ConvConfig, Tokenizer, check_tokenizer, conv_configs
from mcuformer.value import Value

LinearName = Literal["qkv", "proj", "fc1", "fc2"]
Activation = Literal["gelu", "relu", "hard_swish"]

LINEARS: tuple[LinearName, ...] = ("qkv", "proj", "fc1", "fc2")
RATIO_GENES: dict[LinearName, str] = {name: f"{name}_rank_ratio" for name in LINEARS}


class Ranks(Value):
    """Ranks of the linear layers of one block; a layer of null follows the subnet's ratio."""

    qkv: Rank | None = None
    proj: Rank | None = None
    fc1: Rank | None = None
    fc2: Rank | None = None

    def of(self, name: LinearName) -> int | None:
        """Return the rank of one layer, or None if it follows the subnet's ratio."""
        rank: int | None = getattr(self, name)
        return rank


class BlockConfig(Value):
    """The genes of one transformer block.

    Args:
        num_heads: number of attention heads.
        head_dim: width of a head.
        mlp_ratio: hidden units of the MLP per unit of the embedding width.
        activation: activation of the MLP's hidden units.
        qkv_rank_ratio: rank ratio of qkv, of which 1 is dense; null follows the subnet's ratio.
        proj_rank_ratio: that of the output projection.
        fc1_rank_ratio: that of fc1.
        fc2_rank_ratio: that of fc2.
        ranks: ranks of layers that follow no ratio, as pruning leaves them; null if all follow one.

    Ratios and ranks are written only where they are not null.
    """

    num_heads: NumHeads
    head_dim: Width
    mlp_ratio: MlpRatio
    activation: Activation = "gelu"
    qkv_rank_ratio: RankRatio | None = None
    proj_rank_ratio: RankRatio | None = None
    fc1_rank_ratio: RankRatio | None = None
    fc2_rank_ratio: RankRatio | None = None
    ranks: Ranks | None = None

    @field_validator("ranks")
    @classmethod
    def _canonical(cls, ranks: Ranks | None) -> Ranks | None:
        return None if ranks == Ranks() else ranks

    @model_serializer(mode="wrap")
    def _without_null(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        return {name: value for name, value in content.items() if value is not None}

    @property
    def attn_dim(self) -> int:
        """Width Q of queries, keys and values: num_heads * head_dim."""
        return self.num_heads * self.head_dim


class SubnetConfig(Value):
    """A vision transformer, in timm's vocabulary plus `rank_ratio`.

    Args:
        img_size: side of the image in pixels.
        patch_size: side of a patch in pixels. If it does not divide `img_size`, the image is padded
            to the next multiple, evenly on both sides.
        in_chans: channels of the image.
        num_classes: number of classes.
        embed_dim: embedding width D.
        blocks: transformer blocks.
        rank_ratio: rank ratio of the layers in `low_rank`. They are two factors ``x V U`` of rank
            ``int(rank_ratio * min(in, out))``, at least 1; a ratio of 1 makes them dense. A block's
            own ratios go before it, in any layer, and its :attr:`BlockConfig.ranks` before both.
        mlp_rank_ratio: rank ratio of fc1 and fc2; null takes `rank_ratio`.
        low_rank: names of the low-rank layers.
        full_rank_factors: whether layers of ratio 1 are two factors of full rank, as in subnets of
            a supernet of several ratios; the lowering merges them, see :attr:`merged`.
        tokenizer: ``patch``, or ``conv1`` / ``conv2``: that many 3 x 3 convolutions, each with
            batch norm, ReLU and max pooling by 2 (CCT, Hassani et al., 2021, section 3.3). The
            stride of the first makes up the rest of `patch_size`, so the token count is the same.
        stem_dim: channels between the two convolutions of ``conv2``; null for other tokenizers.
        class_token: whether a class token precedes the patches.
        global_pool: input of the head: the mean of the patch tokens, or the class token.
        absolute_position: whether tokens get a position embedding.
        relative_position: largest distance of AutoFormer's two-dimensional relative position, which
            has tables of keys and of values in every block; null is none.
        qkv_bias: whether the qkv projection has a bias.
        fc_norm: whether the final norm follows the pooling, as in some of timm's networks.
        norm_eps: epsilon of every layer norm.
    """

    img_size: ImgSize
    patch_size: PatchSize
    in_chans: InChans
    num_classes: NumClasses
    embed_dim: Width
    blocks: Annotated[tuple[BlockConfig, ...], Field(min_length=1, max_length=MAX_DEPTH)]
    rank_ratio: RankRatio = 1.0
    mlp_rank_ratio: RankRatio | None = None
    low_rank: tuple[LinearName, ...] = ("qkv", "fc1", "fc2")
    full_rank_factors: bool = False
    tokenizer: Tokenizer = "patch"
    stem_dim: Width | None = None
    class_token: bool = False
    global_pool: Literal["avg", "token"] = "avg"
    absolute_position: bool = True
    relative_position: Distance | None = None
    qkv_bias: bool = True
    fc_norm: bool = False
    norm_eps: NormEps = 1e-6

    @model_validator(mode="after")
    def _check(self) -> SubnetConfig:
        if self.patch_size > self.img_size:
            raise ValueError(f"patch_size {self.patch_size} exceeds img_size {self.img_size}")
        if self.global_pool == "token" and not self.class_token:
            raise ValueError("global_pool=token needs class_token=true")
        if (self.tokenizer == "conv2") != (self.stem_dim is not None):
            raise ValueError("stem_dim must be given for tokenizer conv2, and for no other")
        check_tokenizer(self.tokenizer, self.patch_size)
        self._check_sizes()
        return self

    def _check_sizes(self) -> None:
        """Refuse products of sizes that no planner can handle in seconds.

        Raises:
            ValueError: the network has too many tokens, heads or parameters, or an MLP without
                hidden units.
        """
        tokens, heads = self.num_tokens, max(block.num_heads for block in self.blocks)
        if tokens > MAX_TOKENS + self.class_token:
            raise ValueError(f"{tokens} tokens, expected at most {MAX_TOKENS}")
        if tokens * heads > MAX_TOKEN_HEADS:
            limit = MAX_TOKEN_HEADS // tokens
            raise ValueError(f"{heads} heads of {tokens} tokens, expected at most {limit} heads")
        if int(self.embed_dim * min(block.mlp_ratio for block in self.blocks)) < 1:
            raise ValueError("mlp_ratio times embed_dim is below 1: an MLP without hidden units")
        if self.num_params > MAX_PARAMS:
            raise ValueError(f"{self.num_params} parameters, expected at most {MAX_PARAMS}")

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def grid_size(self) -> int:
        """Patches along one side of the padded image."""
        return -(-self.img_size // self.patch_size)

    @property
    def num_patches(self) -> int:
        """Patches of the padded image."""
        return self.grid_size**2

    @property
    def num_tokens(self) -> int:
        """Tokens N, the class token included."""
        return self.num_patches + self.class_token

    @property
    def padding(self) -> tuple[int, int]:
        """Pixels of padding (top and left, bottom and right), for the tokenizer ``patch``."""
        total = self.grid_size * self.patch_size - self.img_size
        return total // 2, total - total // 2

    @property
    def convs(self) -> tuple[ConvConfig, ...]:
        """The convolutions of the tokenizer, each followed by pooling by 2; none for ``patch``."""
        size, patch, widths = self.img_size, self.patch_size, (self.in_chans, self.embed_dim)
        return conv_configs(self.tokenizer, size, patch, *widths, self.stem_dim)

    @property
    def merged(self) -> SubnetConfig:
        """The network as it is deployed, with full-rank factors multiplied out to dense layers."""
        if not self.full_rank_factors:
            return self
        return self.model_copy(update={"full_rank_factors": False})

    @property
    def factored(self) -> SubnetConfig:
        """The network as a supernet of several ratios has it, with factors of full rank."""
        return self.model_copy(update={"full_rank_factors": True})

    def hidden_dim(self, index: int) -> int:
        """Hidden units F of the MLP of block `index`."""
        return int(self.embed_dim * self.blocks[index].mlp_ratio)

    def linear_shape(self, index: int, name: LinearName) -> tuple[int, int]:
        """Return (in, out) of one linear of block `index`; qkv is one fused projection."""
        dim, attn, hidden = self.embed_dim, self.blocks[index].attn_dim, self.hidden_dim(index)
        return _linear_shape(name, dim, attn, hidden)

    def ratio(self, index: int, name: LinearName) -> float | None:
        """Return the rank ratio of one linear of block `index`, or None if it is dense."""
        return self._ratio(self.blocks[index], name)

    def mean_ratio(self, index: int, names: Sequence[LinearName] = LINEARS) -> float:
        """Return the mean rank ratio of linears of block `index`; a dense one has ratio 1."""
        return sum(self.ratio(index, name) or 1.0 for name in names) / len(names)

    def _ratio(self, block: BlockConfig, name: LinearName) -> float | None:
        ratio: float | None = getattr(block, RATIO_GENES[name])
        if ratio is None and name in self.low_rank:
            separate = self.mlp_rank_ratio is not None and name in ("fc1", "fc2")
            ratio = self.mlp_rank_ratio if separate else self.rank_ratio
        return None if ratio == 1.0 and not self.full_rank_factors else ratio

    def rank(self, index: int, name: LinearName) -> int | None:
        """Return the rank of one linear of block `index`, or None if it is dense."""
        ranks, shape = self.blocks[index].ranks, self.linear_shape(index, name)
        return _rank(None if ranks is None else ranks.of(name), self.ratio(index, name), shape)

    @property
    def num_params(self) -> int:
        """Trainable parameters of the standalone network."""
        dim = self.embed_dim
        if self.tokenizer == "patch":
            total = self.in_chans * self.patch_size**2 * dim + dim
        else:  # a batch norm has two parameters per channel, and its convolution has no bias
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
        """Multiply-accumulates of one inference: linears, QK^T, AV and relative positions."""
        tokens, dim = self.num_tokens, self.embed_dim
        total = dim * self.num_classes
        if self.tokenizer == "patch":
            total += self.num_patches * self.in_chans * self.patch_size**2 * dim
        total += sum(9 * c.in_chans * c.out_chans * c.size**2 for c in self.convs)
        for count, cost, block in self._costs():
            total += count * tokens * (cost.macs_per_token + 2 * tokens * block.attn_dim)
            if self.relative_position is not None:
                # per token, grid_size rows and grid_size columns, of keys and of values
                total += count * 4 * tokens * self.grid_size * block.attn_dim
        return total

    def _costs(self) -> list[tuple[int, BlockCost, BlockConfig]]:
        """Return (count, cost, block) of each distinct kind of block."""
        costs = []
        for block, count in Counter(self.blocks).items():
            ratios = tuple(self._ratio(block, name) for name in LINEARS)
            costs.append((count, _block_cost(self.embed_dim, block, ratios, self.qkv_bias), block))
        return costs

    @property
    def key(self) -> str:
        """A short digest, equal for equal subnets."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


class BlockCost(NamedTuple):
    """Parameters of a block, and multiply-accumulates of its linears per token."""

    params: int
    macs_per_token: int


@lru_cache(maxsize=4096)
def build_block(
    num_heads: int,
    head_dim: int,
    mlp_ratio: float,
    activation: Activation = "gelu",
    **rank_ratios: Any,
) -> BlockConfig:
    """Build a block, or return an equal one that was built before.

    Args:
        num_heads: number of attention heads.
        head_dim: width of a head.
        mlp_ratio: hidden units of the MLP per unit of the embedding width.
        activation: activation of the MLP's hidden units.
        rank_ratios: rank ratios of its own, by their fields in :class:`BlockConfig`.
    """
    return BlockConfig(
        num_heads=num_heads,
        head_dim=head_dim,
        mlp_ratio=mlp_ratio,
        activation=activation,
        **rank_ratios,
    )


@lru_cache(maxsize=65536)
def _block_cost(
    dim: int, block: BlockConfig, ratios: tuple[float | None, ...], qkv_bias: bool
) -> BlockCost:
    """Return the cost of one block; `ratios` are in the order of :data:`LINEARS`."""
    params, macs = 4 * dim, 0  # norm1, norm2
    for name, ratio in zip(LINEARS, ratios, strict=True):
        hidden = int(dim * block.mlp_ratio)
        features_in, features_out = _linear_shape(name, dim, block.attn_dim, hidden)
        weights = features_in * features_out
        own = None if block.ranks is None else block.ranks.of(name)
        rank = _rank(own, ratio, (features_in, features_out))
        if rank is not None:
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


def _rank(own: int | None, ratio: float | None, shape: tuple[int, int]) -> int | None:
    """Return a layer's own rank, else that of the subnet's ratio; None is dense."""
    if own is not None or ratio is None:
        return own
    return factor_rank(ratio, *shape)


def ratio_of_hidden(hidden: int, embed_dim: int) -> float:
    """Return an MLP ratio with exactly `hidden` units, so that ``int(embed_dim * ratio)`` is it.

    The quotient itself may give one unit less: 1 / 49 * 49 is 0.9999999999999999 in floats. The
    next float above it is larger than the exact quotient, and so is its product.
    """
    ratio = hidden / embed_dim
    return ratio if int(embed_dim * ratio) == hidden else nextafter(ratio, inf)


def factor_rank(rank_ratio: float, in_features: int, out_features: int) -> int:
    """Return the rank of two factors, ``int(rank_ratio * min(in, out))``, at least 1.

    The product is rounded to 9 digits first, because 0.29 * 100 is 28.999999999999996 in floats.
    """
    return max(1, int(round(rank_ratio * min(in_features, out_features), 9)))
