"""A convolutional tokenizer as one call, row by row, apart from the image or over it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from oplib.graph import Attributes, Node, TensorType
from oplib.ops.base import (
    OUTPUT,
    SUPPLIED_ROWS,
    Buffers,
    Field,
    Operator,
    Touch,
    align,
    rows_of,
)
from oplib.ops.conv_pool import ConvPool
from oplib.ops.embed_tokens import EmbeddingAttributes, EmbedTokens, EmbedTokensS16
from oplib.ops.fused import FusedOperator, part_fields
from oplib.ops.packing import TILE

CONV = ConvPool()
CONVS = ("conv0", "conv1")
SHARED = (
    "oplib_conv_token_row_s8",
    "oplib_conv_pool_row_s8",
    "oplib_tile_pack_windows_s8",
    "oplib_tile_pack_rows_s8",
    "oplib_tile_linear_s8",
)
IMAGE_ROWS = 3  # that a row of windows needs
ROWS_BETWEEN = 4  # pooled rows between two stages: three in use and one begun


@dataclass(frozen=True)
class ConvTokensAttributes(Attributes):
    """Attributes of a tokenizer.

    Args:
        panel: windows per pass over the weights of the stage with the largest tile.
    """

    panel: int = TILE


@dataclass(frozen=True)
class Step:
    """The work of one row of the last convolution, on rows of the image and of tokens.

    Args:
        first: first row of the image that is read; that of the next step where none is.
        end: end of the rows of the image that are read.
        begun: number of rows of tokens that are begun, this step's included.
    """

    first: int
    end: int
    begun: int


class ConvTokens(FusedOperator[ConvTokensAttributes]):
    """Convolution, ReLU and pooling, once or twice, then positions and class token.

    Parts: ``conv0``, ``conv1`` where there are two convolutions, ``embed``. Of the map between two
    stages only the rows that are still needed exist; the last stage pools into the tokens' bytes.
    """

    kernel: ClassVar[str] = "oplib_conv_tokens_s8"
    params: ClassVar[str | None] = "oplib_conv_tokens_s8_params"
    helpers: ClassVar[tuple[str, ...]] = (*SHARED, "oplib_embed_tokens_s8")
    reads_image: ClassVar[bool] = True
    packs: ClassVar[tuple[str, ...]] = CONVS
    embed: ClassVar[Operator[Any]] = EmbedTokens()
    strips: ClassVar[str] = "conv_tokens_strips"

    def _convs(
        self, node: Node[ConvTokensAttributes], image: TensorType
    ) -> list[tuple[Node[Any], TensorType]]:
        """Return the convolutions in order, each with the type of its input."""
        source = image
        convs: list[tuple[Node[Any], TensorType]] = []
        for role in CONVS:
            if role in node.parts:
                convs.append((node.parts[role], source))
                source = CONV.output_type(convs[-1][0], (source,))
        return convs

    def output_type(
        self, node: Node[ConvTokensAttributes], inputs: Sequence[TensorType]
    ) -> TensorType:
        conv, source = self._convs(node, inputs[0])[-1]
        return self.embed.output_type(node.parts["embed"], (CONV.output_type(conv, (source,)),))

    def can_overwrite(
        self, node: Node[ConvTokensAttributes], source: TensorType, target: TensorType
    ) -> bool:
        return False  # shapes differ: plan.passes.overwrite_image decides where tokens begin

    def scratch_parts(
        self, node: Node[ConvTokensAttributes], inputs: Sequence[TensorType]
    ) -> Mapping[str, int]:
        convs = self._convs(node, inputs[0])
        between = {}
        for _, kind in convs[1:]:
            between = {"rows between": ROWS_BETWEEN * kind.shape[1] * kind.shape[2]}
        return {**between, "work": max(CONV.scratch_bytes(conv, (kind,)) for conv, kind in convs)}

    def _largest(
        self, node: Node[ConvTokensAttributes], image: TensorType
    ) -> tuple[Node[Any], TensorType]:
        """Return the convolution with the largest tile, and the type of its input."""
        return max(self._convs(node, image), key=lambda stage: _work_bytes(stage, TILE))

    def panel_sizes(
        self, node: Node[ConvTokensAttributes], inputs: Sequence[TensorType]
    ) -> tuple[int, ...]:
        conv, kind = self._largest(node, inputs[0])
        return CONV.panel_sizes(conv, (kind,))

    def with_panel(
        self, node: Node[ConvTokensAttributes], inputs: Sequence[TensorType], panel: int
    ) -> Node[ConvTokensAttributes]:
        """Return the node with a panel of the largest tiles; the others take no more bytes."""
        limit = _work_bytes(self._largest(node, inputs[0]), panel)
        parts: dict[str, Node[Any]] = dict(node.parts)
        for role, stage in zip(CONVS, self._convs(node, inputs[0]), strict=False):
            conv, kind = stage
            sizes = CONV.panel_sizes(conv, (kind,))
            fits = max(size for size in sizes if _work_bytes(stage, size) <= limit)
            parts[role] = CONV.with_panel(conv, (kind,), fits)
        return replace(node, attrs=replace(node.attrs, panel=panel), parts=parts)

    def settings(self, node: Node[ConvTokensAttributes]) -> Mapping[str, int]:
        return {"panel": node.attrs.panel}

    def passes(self, node: Node[ConvTokensAttributes], role: str, tokens: int) -> None:
        return None

    def _steps(self, node: Node[ConvTokensAttributes], image: TensorType) -> Iterator[Step]:
        """Yield a step for every row of the last convolution."""
        convs = self._convs(node, image)
        (first, _), (last, source) = convs[0], convs[-1]
        side, stride = image.shape[0], first.attrs.stride
        size, last_size = CONV.conv_size(first, (image,)), CONV.conv_size(last, (source,))
        done = 0  # rows of the first convolution
        for row in range(last_size):
            stop = row + 1
            if len(convs) > 1:
                needed = min(row * last.attrs.stride + 1, source.shape[0] - 1)
                stop = min(2 * needed + 2, size)  # the rows that pooled row `needed` takes
            top = max(0, done * stride - 1) if done < size else side
            end = min((stop - 1) * stride + 2, side) if stop > done else top
            yield Step(top, end, min((row + 1) // 2 + 1, -(-last_size // 2)))
            done = stop

    def _written(
        self, node: Node[ConvTokensAttributes], output: TensorType, begun: int
    ) -> tuple[int, int]:
        """Return the number of tokens in `begun` rows, class token included, and their bytes."""
        first = node.parts["embed"].attributes(EmbeddingAttributes).first
        grid = math.isqrt(output.shape[0] - first)
        tokens = first + begun * grid
        return tokens, tokens * (output.num_bytes // output.shape[0])

    def _settled(self, node: Node[ConvTokensAttributes]) -> bool:
        """Return whether a step reads its rows of the image before it writes tokens."""
        return "conv1" in node.parts  # which reads rows that conv0 has made of the image

    def touches(
        self, node: Node[ConvTokensAttributes], inputs: Sequence[TensorType], output: TensorType
    ) -> Iterator[Touch]:
        """Yield all at once, or row by row where the tokens overwrite the image.

        A row of tokens is written from its beginning on, when the pooling reaches it, to its end.
        """
        if node.overwrites is None:
            yield from super().touches(node, inputs, output)
            return
        begun = 0
        for step in self._steps(node, inputs[0]):
            first = self._written(node, output, begun)[0] if begun else 0
            stop = self._written(node, output, step.begun)[0]
            reads = (rows_of(0, inputs[0], step.first, step.end),)
            yield Touch(reads, (rows_of(OUTPUT, output, first, stop),), self._settled(node))
            begun = step.begun

    def over_image(
        self, node: Node[ConvTokensAttributes], inputs: Sequence[TensorType]
    ) -> Node[ConvTokensAttributes]:
        """Return the node whose tokens begin the least below the image."""
        # After a step, the tokens begun end at written - below, in bytes of the image. That must
        # not pass the first row that is still to be read: by the next step, or by this one as well
        # where it reads and writes at the same time.
        output, steps = self.output_type(node, inputs), list(self._steps(node, inputs[0]))
        row_bytes = inputs[0].shape[1] * inputs[0].shape[2]
        in_use = [step.first for step in steps]
        if self._settled(node):
            in_use = [*in_use[1:], inputs[0].shape[0]]
        needed = 0
        for step, row in zip(steps, in_use, strict=True):
            if row < inputs[0].shape[0]:
                written = self._written(node, output, step.begun)[1]
                needed = max(needed, written - row * row_bytes)
        return replace(node, overwrites=0, below=align(needed))

    def in_strips(self, node: Node[ConvTokensAttributes]) -> Node[ConvTokensAttributes]:
        return replace(node, op=self.strips)

    def fields(
        self,
        node: Node[ConvTokensAttributes],
        inputs: Sequence[TensorType],
        scalars: Mapping[str, int],
    ) -> tuple[Field, ...]:
        return part_fields(node, (*CONVS, "embed"))

    def call_arguments(
        self, node: Node[ConvTokensAttributes], buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return buffers.inputs[0], "NULL", buffers.output, buffers.scratch


class ConvTokensS16(ConvTokens):
    """The tokenizer into an int16 residual stream."""

    kernel: ClassVar[str] = "oplib_conv_tokens_s16"
    params: ClassVar[str | None] = "oplib_conv_tokens_s16_params"
    helpers: ClassVar[tuple[str, ...]] = (*SHARED, "oplib_embed_tokens_s16")
    embed: ClassVar[Operator[Any]] = EmbedTokensS16()
    strips: ClassVar[str] = "conv_tokens_strips_s16"


class ConvTokensStrips(ConvTokens):
    """The tokenizer of an image that the application supplies row by row."""

    fetches_image: ClassVar[bool] = True

    def scratch_parts(
        self, node: Node[ConvTokensAttributes], inputs: Sequence[TensorType]
    ) -> Mapping[str, int]:
        rows = IMAGE_ROWS * inputs[0].shape[1] * inputs[0].shape[2]
        return {"rows of the image": rows, **super().scratch_parts(node, inputs)}

    def call_arguments(
        self, node: Node[ConvTokensAttributes], buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return "NULL", SUPPLIED_ROWS, buffers.output, buffers.scratch


class ConvTokensStripsS16(ConvTokensStrips, ConvTokensS16):
    """The tokenizer of an image supplied row by row, into an int16 residual stream."""


def _work_bytes(stage: tuple[Node[Any], TensorType], panel: int) -> int:
    """Return the scratch of a stage, a convolution and the type of its input, with a panel."""
    conv, source = stage
    return CONV.scratch_bytes(CONV.with_panel(conv, (source,), panel), (source,))
