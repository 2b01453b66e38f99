"""The search space: outer points (rank_ratio, patch_size) and the choices inside each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import Field, field_validator, model_validator

from mcuformer.errors import ConfigError
from mcuformer.subnet import BlockConfig, LinearName, PositiveInt, RankRatio, SubnetConfig
from mcuformer.value import Value

T = TypeVar("T")


def draw(choices: Sequence[T], rng: np.random.Generator) -> T:
    """Draw one of the choices uniformly."""
    return choices[int(rng.integers(len(choices)))]


@lru_cache(maxsize=4096)
def _block(num_heads: int, head_dim: int, mlp_ratio: float) -> BlockConfig:
    return BlockConfig(num_heads=num_heads, head_dim=head_dim, mlp_ratio=mlp_ratio)


class SpacePoint(Value):
    """One outer point s of the space; it has its own supernet (MCUFormer, 3.1).

    Null means that the coordinate is no axis of the space: `mlp_rank_ratio` follows `rank_ratio`,
    and `img_size` is the space's only one.
    """

    rank_ratio: RankRatio
    patch_size: PositiveInt
    mlp_rank_ratio: RankRatio | None = None
    img_size: PositiveInt | None = None

    @property
    def name(self) -> str:
        """A file name for the point, for instance ``r0.50_p2``."""
        mlp = "" if self.mlp_rank_ratio is None else f"_m{self.mlp_rank_ratio:.2f}"
        size = "" if self.img_size is None else f"_i{self.img_size}"
        return f"r{self.rank_ratio:.2f}{mlp}_p{self.patch_size}{size}"


class SearchSpace(Value):
    """Choices of every gene, each in ascending order.

    Embedding width and depth are one value a network; heads and MLP ratio are chosen in every block
    (AutoFormer). `head_dim` is fixed, so the attention width follows the heads. The outer axes are
    `rank_ratio` and `patch_size`, and, where given, `mlp_rank_ratio` and several `img_size`.
    """

    img_size: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
    in_chans: PositiveInt
    num_classes: PositiveInt
    rank_ratio: Annotated[tuple[RankRatio, ...], Field(min_length=1)]
    mlp_rank_ratio: Annotated[tuple[RankRatio, ...], Field(min_length=1)] | None = None
    patch_size: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
    embed_dim: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
    depth: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
    num_heads: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
    mlp_ratio: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]
    head_dim: PositiveInt = 64
    low_rank: tuple[LinearName, ...] = ("qkv", "fc1", "fc2")
    qkv_bias: bool = True

    @field_validator("img_size", mode="before")
    @classmethod
    def _one_or_many(cls, size: Any) -> Any:
        return (
            tuple(size) if isinstance(size, list) else size if isinstance(size, tuple) else (size,)
        )

    @field_validator(
        "rank_ratio",
        "mlp_rank_ratio",
        "patch_size",
        "img_size",
        "embed_dim",
        "depth",
        "num_heads",
        "mlp_ratio",
    )
    @classmethod
    def _ascending(cls, choices: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if choices is not None and list(choices) != sorted(set(choices)):
            raise ValueError("choices must ascend without repetition")
        return choices

    @model_validator(mode="after")
    def _patch_fits(self) -> SearchSpace:
        if max(self.patch_size) > min(self.img_size):
            largest, smallest = max(self.patch_size), min(self.img_size)
            raise ValueError(f"patch_size {largest} exceeds img_size {smallest}")
        return self

    @property
    def axes(self) -> dict[str, tuple[float, ...]]:
        """Return the outer coordinates and their choices, in grid order."""
        axes: dict[str, tuple[float, ...]] = {"rank_ratio": self.rank_ratio}
        if self.mlp_rank_ratio is not None:
            axes["mlp_rank_ratio"] = self.mlp_rank_ratio
        axes["patch_size"] = self.patch_size
        if len(self.img_size) > 1:
            axes["img_size"] = self.img_size
        return axes

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of choices of each axis."""
        return tuple(len(choices) for choices in self.axes.values())

    def points(self) -> tuple[SpacePoint, ...]:
        """Return every outer point, the first axis outermost."""
        return tuple(self.point_at(index) for index in np.ndindex(*self.shape))

    def point_at(self, index: tuple[int, ...]) -> SpacePoint:
        """Return the point at grid indices, one for each axis."""
        values = {
            name: choices[i] for (name, choices), i in zip(self.axes.items(), index, strict=True)
        }
        return SpacePoint.parse(values)

    def check_point(self, point: SpacePoint) -> None:
        """Refuse a point that is not on the grid.

        Raises:
            ConfigError: naming the coordinate and its choices.
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

    def subnet(
        self, point: SpacePoint, embed_dim: int, blocks: tuple[tuple[int, float], ...]
    ) -> SubnetConfig:
        """Build the subnet of `point` with the given width and (num_heads, mlp_ratio) a block."""
        return SubnetConfig(
            img_size=self.img_size[0] if point.img_size is None else point.img_size,
            patch_size=point.patch_size,
            in_chans=self.in_chans,
            num_classes=self.num_classes,
            embed_dim=embed_dim,
            rank_ratio=point.rank_ratio,
            mlp_rank_ratio=point.mlp_rank_ratio,
            low_rank=self.low_rank,
            qkv_bias=self.qkv_bias,
            blocks=tuple(_block(heads, self.head_dim, ratio) for heads, ratio in blocks),
        )

    def sample(self, point: SpacePoint, rng: np.random.Generator) -> SubnetConfig:
        """Draw a subnet of `point` uniformly: depth, width, heads and MLP ratio of every block."""
        depth, embed_dim = draw(self.depth, rng), draw(self.embed_dim, rng)
        return self.subnet(point, embed_dim, tuple(self.sample_block(rng) for _ in range(depth)))

    def sample_block(self, rng: np.random.Generator) -> tuple[int, float]:
        """Draw (num_heads, mlp_ratio) of one block."""
        return draw(self.num_heads, rng), draw(self.mlp_ratio, rng)

    def largest(self, point: SpacePoint) -> SubnetConfig:
        """Return the largest subnet of `point`: the shape of its supernet's weights."""
        block = (max(self.num_heads), max(self.mlp_ratio))
        return self.subnet(point, max(self.embed_dim), (block,) * max(self.depth))

    def smallest(self, point: SpacePoint) -> SubnetConfig:
        """Return the smallest subnet of `point`."""
        block = (min(self.num_heads), min(self.mlp_ratio))
        return self.subnet(point, min(self.embed_dim), (block,) * min(self.depth))

    def contains(self, subnet: SubnetConfig) -> bool:
        """Tell whether `subnet` can be sampled from this space."""
        return (
            (subnet.in_chans, subnet.num_classes) == (self.in_chans, self.num_classes)
            and subnet.img_size in self.img_size
            and subnet.mlp_rank_ratio in (self.mlp_rank_ratio or (None,))
            and subnet.rank_ratio in self.rank_ratio
            and subnet.patch_size in self.patch_size
            and subnet.embed_dim in self.embed_dim
            and subnet.depth in self.depth
            and subnet.low_rank == self.low_rank
            and subnet.qkv_bias == self.qkv_bias
            and all(
                block.head_dim == self.head_dim
                and block.num_heads in self.num_heads
                and block.mlp_ratio in self.mlp_ratio
                for block in subnet.blocks
            )
        )
