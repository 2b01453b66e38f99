"""The search space: outer points (rank_ratio, patch_size) and the choices inside each point."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import Field, field_validator, model_validator

from mcuformer.errors import ConfigError
from mcuformer.limits import (
    MAX_CHOICES,
    MAX_PLANNED,
    MAX_POINTS,
    Depth,
    Distance,
    ImgSize,
    InChans,
    MlpRatio,
    NormEps,
    NumClasses,
    NumHeads,
    PatchSize,
    RankRatio,
    Width,
)
from mcuformer.subnet import (
    RATIO_GENES,
    Activation,
    BlockConfig,
    LinearName,
    SubnetConfig,
    build_block,
)
from mcuformer.tokenizer import Tokenizer, check_tokenizer
from mcuformer.value import Value

T = TypeVar("T")
Choices = Annotated[tuple[T, ...], Field(min_length=1, max_length=MAX_CHOICES)]


def draw(choices: Sequence[T], rng: np.random.Generator) -> T:
    """Draw one of the choices uniformly."""
    return choices[int(rng.integers(len(choices)))]


class SpacePoint(Value):
    """One outer point of the space, which has a supernet of its own (MCUFormer, section 3.1).

    Args:
        rank_ratio: rank ratio of the low-rank layers.
        patch_size: side of a patch in pixels.
        mlp_rank_ratio: rank ratio of the MLP; null if it is not an axis and follows `rank_ratio`.
        img_size: side of the image in pixels; null if it is not an axis, as the space has only one.
    """

    rank_ratio: RankRatio
    patch_size: PatchSize
    mlp_rank_ratio: RankRatio | None = None
    img_size: ImgSize | None = None

    @property
    def name(self) -> str:
        """A file name for the point, for instance ``r0.50_p2``."""
        mlp = "" if self.mlp_rank_ratio is None else f"_m{self.mlp_rank_ratio:.2f}"
        size = "" if self.img_size is None else f"_i{self.img_size}"
        return f"r{self.rank_ratio:.2f}{mlp}_p{self.patch_size}{size}"


class SearchSpace(Value):
    """The choices of every gene; numbers in ascending order.

    A network has one embedding width, depth and tokenizer; heads, MLP ratio and activation are
    chosen per block (AutoFormer). The outer axes are `rank_ratio` and `patch_size`, then
    `mlp_rank_ratio` and `img_size` if they have choices. What is not listed below is the same for
    all subnets, see :class:`SubnetConfig`.

    With `rank_per_layer` the choices of both rank ratios are genes of every low-rank layer of every
    block instead, and these axes have one value, the largest choice.

    Args:
        img_size: choices of the image's side in pixels; a single number is one choice.
        rank_ratio: choices of the rank ratio.
        mlp_rank_ratio: choices of the MLP's rank ratio; null lets it follow `rank_ratio`.
        rank_per_layer: whether every low-rank layer has a rank ratio of its own.
        patch_size: choices of the patch's side in pixels.
        embed_dim: choices of the embedding width.
        depth: choices of the number of blocks.
        num_heads: choices of the number of heads.
        mlp_ratio: choices of the MLP's hidden units per unit of the embedding width.
        activation: choices of the MLP's activation.
        head_dim: width of a head, unless `qkv_dim` is given.
        qkv_dim: choices of the attention width, of which each head gets an equal part; null makes
            it num_heads * head_dim.
        tokenizer: choices of the tokenizer.
    """

    img_size: Choices[ImgSize]
    in_chans: InChans
    num_classes: NumClasses
    rank_ratio: Choices[RankRatio]
    mlp_rank_ratio: Choices[RankRatio] | None = None
    rank_per_layer: bool = False
    patch_size: Choices[PatchSize]
    embed_dim: Choices[Width]
    depth: Choices[Depth]
    num_heads: Choices[NumHeads]
    mlp_ratio: Choices[MlpRatio]
    activation: Choices[Activation] = ("gelu",)
    head_dim: Width = 64
    qkv_dim: Choices[Width] | None = None
    low_rank: tuple[LinearName, ...] = ("qkv", "fc1", "fc2")
    tokenizer: Choices[Tokenizer] = ("patch",)
    stem_dim: Width | None = None
    class_token: bool = False
    global_pool: Literal["avg", "token"] = "avg"
    absolute_position: bool = True
    relative_position: Distance | None = None
    qkv_bias: bool = True
    norm_eps: NormEps = 1e-6

    @field_validator("img_size", mode="before")
    @classmethod
    def _one_or_many(cls, size: Any) -> Any:
        return tuple(size) if isinstance(size, list | tuple) else (size,)

    @field_validator(
        "rank_ratio",
        "mlp_rank_ratio",
        "patch_size",
        "img_size",
        "embed_dim",
        "depth",
        "num_heads",
        "mlp_ratio",
        "qkv_dim",
        "tokenizer",
    )
    @classmethod
    def _ascending(cls, choices: Any) -> Any:
        if choices is not None and list(choices) != sorted(set(choices)):
            raise ValueError("choices must ascend without repetition")
        return choices

    @field_validator("activation")
    @classmethod
    def _distinct(cls, choices: Any) -> Any:
        if len(choices) != len(set(choices)):
            raise ValueError("choices must not repeat")
        return choices

    @model_validator(mode="after")
    def _check(self) -> SearchSpace:
        if max(self.patch_size) > min(self.img_size):
            largest, smallest = max(self.patch_size), min(self.img_size)
            raise ValueError(f"patch_size {largest} exceeds img_size {smallest}")
        if self.global_pool == "token" and not self.class_token:
            raise ValueError("global_pool=token needs class_token=true")
        if ("conv2" in self.tokenizer) != (self.stem_dim is not None):
            raise ValueError("stem_dim must be given for tokenizer conv2, and for no other")
        for tokenizer in self.tokenizer:
            for patch_size in self.patch_size:
                check_tokenizer(tokenizer, patch_size)
        for width in self.qkv_dim or ():
            for heads in self.num_heads:
                if width % heads:
                    raise ValueError(f"qkv_dim {width} is not a multiple of num_heads {heads}")
        self._check_sizes()
        return self

    def _check_sizes(self) -> None:
        """Refuse a grid that cannot be planned in seconds, and subnets that are none.

        Raises:
            ValueError: the grid has too many points, or an extreme subnet breaks a bound.
        """
        count = math.prod(self.shape)
        if count > MAX_POINTS:
            raise ValueError(f"{count} points, expected at most {MAX_POINTS}")
        smallest = [self.smallest(point) for point in self.points()]
        for point in self.points():
            self.largest(point)
        planned = sum(subnet.num_tokens * subnet.blocks[0].num_heads for subnet in smallest)
        if planned > MAX_PLANNED:
            raise ValueError(
                f"tokens times heads, summed over {count} points, is {planned}, expected at most "
                f"{MAX_PLANNED}"
            )

    @property
    def max_head_dim(self) -> int:
        """Largest width of a head in any subnet."""
        return self.head_dim if self.qkv_dim is None else max(self.qkv_dim) // min(self.num_heads)

    @property
    def axes(self) -> dict[str, tuple[float, ...]]:
        """The outer coordinates with their choices, in the order of the grid's axes."""
        first = -1 if self.rank_per_layer else 0  # of the choices that are an axis
        axes: dict[str, tuple[float, ...]] = {"rank_ratio": self.rank_ratio[first:]}
        if self.mlp_rank_ratio is not None:
            axes["mlp_rank_ratio"] = self.mlp_rank_ratio[first:]
        axes["patch_size"] = self.patch_size
        if len(self.img_size) > 1:
            axes["img_size"] = self.img_size
        return axes

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of choices per axis."""
        return tuple(len(choices) for choices in self.axes.values())

    def points(self) -> tuple[SpacePoint, ...]:
        """Return every outer point, in row-major order of the grid."""
        return tuple(self.point_at(index) for index in np.ndindex(*self.shape))

    def point_at(self, index: tuple[int, ...]) -> SpacePoint:
        """Return the point at a grid index, which has one entry per axis."""
        values = {
            name: choices[i] for (name, choices), i in zip(self.axes.items(), index, strict=True)
        }
        return SpacePoint.parse(values)

    def middle(self) -> SpacePoint:
        """Return the point in the middle of the grid; of two middle choices, the upper."""
        return self.point_at(tuple(length // 2 for length in self.shape))

    def check_point(self, point: SpacePoint) -> None:
        """Refuse a point that is not on the grid.

        Raises:
            ConfigError: a coordinate is not among its choices.
        """
        for name in SpacePoint.model_fields:
            choices = self.axes.get(name, (None,))
            if getattr(point, name) not in choices:
                raise ConfigError(
                    "not a choice of the space",
                    where=f"point.{name}",
                    got=getattr(point, name),
                    expected=f"one of {list(choices)}",
                )

    @property
    def block_genes(self) -> dict[str, tuple[Any, ...]]:
        """The choices of each gene of a block, by the gene's name in :class:`BlockConfig`.

        Genes are drawn in this order; a gene with one choice consumes no randomness.
        """
        genes: dict[str, tuple[Any, ...]] = {
            "num_heads": self.num_heads,
            "mlp_ratio": self.mlp_ratio,
        }
        if self.qkv_dim is not None:
            genes["attn_dim"] = self.qkv_dim
        return genes | {"activation": self.activation} | self._ratio_genes

    @property
    def _ratio_genes(self) -> dict[str, tuple[float, ...]]:
        """The choices of each layer's own rank ratio, by its name in :class:`BlockConfig`."""
        if not self.rank_per_layer:
            return {}
        mlp = self.rank_ratio if self.mlp_rank_ratio is None else self.mlp_rank_ratio
        return {
            RATIO_GENES[name]: mlp if name in ("fc1", "fc2") else self.rank_ratio
            for name in self.low_rank
        }

    def block(self, genes: Mapping[str, Any]) -> BlockConfig:
        """Build a block from one choice per gene of :attr:`block_genes`."""
        heads = genes["num_heads"]
        head_dim = self.head_dim if self.qkv_dim is None else genes["attn_dim"] // heads
        ratios = {name: genes[name] for name in self._ratio_genes}
        return build_block(heads, head_dim, genes["mlp_ratio"], genes["activation"], **ratios)

    def genes_of(self, block: BlockConfig) -> dict[str, Any]:
        """Return the genes of a block, the inverse of :meth:`block`."""
        return {name: getattr(block, name) for name in self.block_genes}

    def subnet(
        self,
        point: SpacePoint,
        embed_dim: int,
        blocks: tuple[BlockConfig, ...],
        tokenizer: Tokenizer | None = None,
    ) -> SubnetConfig:
        """Build a subnet of `point`.

        Args:
            point: outer point.
            embed_dim: embedding width.
            blocks: transformer blocks.
            tokenizer: tokenizer; None takes the first choice.
        """
        tokenizer = self.tokenizer[0] if tokenizer is None else tokenizer
        return SubnetConfig(
            img_size=self.img_size[0] if point.img_size is None else point.img_size,
            patch_size=point.patch_size,
            in_chans=self.in_chans,
            num_classes=self.num_classes,
            embed_dim=embed_dim,
            blocks=blocks,
            rank_ratio=point.rank_ratio,
            mlp_rank_ratio=point.mlp_rank_ratio,
            low_rank=self.low_rank,
            tokenizer=tokenizer,
            stem_dim=self.stem_dim if tokenizer == "conv2" else None,
            class_token=self.class_token,
            global_pool=self.global_pool,
            absolute_position=self.absolute_position,
            relative_position=self.relative_position,
            qkv_bias=self.qkv_bias,
            norm_eps=self.norm_eps,
        )

    def sample(self, point: SpacePoint, rng: np.random.Generator) -> SubnetConfig:
        """Draw a subnet of `point`, every gene uniformly: depth, width, tokenizer, blocks."""
        depth, embed_dim = draw(self.depth, rng), draw(self.embed_dim, rng)
        tokenizer = draw(self.tokenizer, rng)
        blocks = tuple(self.sample_block(rng) for _ in range(depth))
        return self.subnet(point, embed_dim, blocks, tokenizer)

    def sample_block(self, rng: np.random.Generator) -> BlockConfig:
        """Draw every gene of one block uniformly."""
        return self.block({name: draw(choices, rng) for name, choices in self.block_genes.items()})

    def largest(self, point: SpacePoint) -> SubnetConfig:
        """Return the largest subnet of `point`, which has the shapes of the supernet's weights."""
        block = self.block({name: choices[-1] for name, choices in self.block_genes.items()})
        blocks, tokenizer = (block,) * max(self.depth), self.tokenizer[-1]
        return self.subnet(point, max(self.embed_dim), blocks, tokenizer)

    def smallest(self, point: SpacePoint) -> SubnetConfig:
        """Return the subnet of `point` with the fewest parameters."""
        return min(self.smallest_of_each_rank(point), key=lambda subnet: subnet.num_params)

    def smallest_of_each_rank(self, point: SpacePoint) -> list[SubnetConfig]:
        """Return the smallest subnets of `point`, one of which needs the least of any memory.

        That is one subnet, or with `rank_per_layer` one for each way in which layers can have the
        smallest or the largest ratio. For a dense layer may have fewer weights than two factors,
        and has no tensor between them.
        """
        ends = [sorted({choices[0], choices[-1]}) for choices in self._ratio_genes.values()]
        genes = {name: choices[0] for name, choices in self.block_genes.items()}
        subnets = []
        for ratios in itertools.product(*ends):
            block = self.block(genes | dict(zip(self._ratio_genes, ratios, strict=True)))
            blocks, tokenizer = (block,) * min(self.depth), self.tokenizer[-1]
            subnets.append(self.subnet(point, min(self.embed_dim), blocks, tokenizer))
        return subnets

    def point_of(self, subnet: SubnetConfig) -> SpacePoint:
        """Return the outer coordinates of a subnet; they may not be on this space's grid."""
        return SpacePoint(
            rank_ratio=subnet.rank_ratio,
            patch_size=subnet.patch_size,
            mlp_rank_ratio=subnet.mlp_rank_ratio,
            img_size=subnet.img_size if len(self.img_size) > 1 else None,
        )

    def contains(self, subnet: SubnetConfig) -> bool:
        """Return whether `subnet` can be sampled from this space."""
        point = self.point_of(subnet)
        genes_fit = (
            all(getattr(point, n) in self.axes.get(n, (None,)) for n in SpacePoint.model_fields)
            and subnet.embed_dim in self.embed_dim
            and subnet.depth in self.depth
            and subnet.tokenizer in self.tokenizer
            and all(
                getattr(block, name) in choices
                for block in subnet.blocks
                for name, choices in self.block_genes.items()
            )
        )
        if not genes_fit:
            return False
        blocks = tuple(self.block(self.genes_of(block)) for block in subnet.blocks)
        # what is not a gene must agree too: build a subnet of the same genes, and compare
        built = self.subnet(point, subnet.embed_dim, blocks, subnet.tokenizer)
        return built == subnet.merged
