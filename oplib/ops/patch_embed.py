"""Patch embedding of raw pixels, with normalisation, padding and positions folded in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.errors import LoweringError
from oplib.graph import DType, Node, TensorType
from oplib.ops.base import (
    ALIGNMENT,
    OUTPUT,
    Array,
    ArraySpec,
    Buffers,
    Bytes4,
    Field,
    Lowered,
    LoweringContext,
    Nested,
    Operator,
    Params,
    Span,
    Tensors,
    Touch,
    align,
    int32,
    rows_of,
)
from oplib.ops.embed_tokens import (
    EmbeddingAttributes,
    add_position,
    embed_float,
    lower_position,
    position_field,
    position_specs,
)
from oplib.ops.linear import (
    SHIFT_S16,
    accumulate,
    linear_fields,
    linear_specs,
    lower_linear,
    pack_linear,
    product_work,
)
from oplib.ops.packing import QUAD, TILE, tile_bytes
from oplib.ops.quant import QuantParams, multiply16, multiply_high
from oplib.ops.work import Work

PIXELS = QuantParams(1.0, -128)  # raw pixel p is the int8 code p - 128


@dataclass(frozen=True)
class PatchAttributes(EmbeddingAttributes):
    """Attributes of a patch embedding.

    Args:
        patch_size: side of a patch in pixels.
        grid_size: patches along one side of the image.
        pad_before: pixels of padding before each row and column.
        tile_from: index of the first token that uses a tile; earlier ones are computed in pairs.
    """

    patch_size: int = field(kw_only=True)
    grid_size: int = field(kw_only=True)
    pad_before: int = field(kw_only=True)
    tile_from: int = 0

    @property
    def patches(self) -> int:
        """Number of patches, each of which becomes a token."""
        return self.grid_size**2

    def pad_after(self, size: int) -> int:
        """Return the pixels of padding after each row and column of an image with side `size`."""
        return self.grid_size * self.patch_size - size - self.pad_before


@dataclass(frozen=True)
class PassesAttributes(PatchAttributes):
    """Attributes of a patch embedding in passes.

    Args:
        kernel: side of a pass in pixels; it divides the patch.
    """

    kernel: int = field(kw_only=True)

    @property
    def passes(self) -> int:
        """Number of passes per patch."""
        return (self.patch_size // self.kernel) ** 2


def patches(images: Array, attrs: PatchAttributes, pad: Array) -> Array:
    """Cut images (B, H, W, C), padded with `pad` (C,), into patches (B, n, patch_size^2 * C)."""
    size, before = attrs.patch_size, attrs.pad_before
    after = attrs.pad_after(images.shape[1])
    border = ((0, 0), (before, after), (before, after), (0, 0))
    padded = np.pad(images - pad, border) + pad
    windows = sliding_window_view(padded, (size, size), axis=(1, 2))[:, ::size, ::size]
    ordered = windows.transpose(0, 1, 2, 4, 5, 3)  # B, row, column, y, x, C
    return ordered.reshape(len(images), -1, size * size * images.shape[-1])


def fold_normalisation(weight: Array, bias: Array, pre: Preprocessing) -> tuple[Array, Array]:
    """Fold the normalisation of pixels into a layer.

    Args:
        weight: weights (out, pixels * C) for normalised pixels.
        bias: biases (out,).
        pre: how pixels are normalised.

    Returns:
        float64 weights and biases of the same shapes, for raw pixels.
    """
    repeat = weight.shape[1] // pre.in_chans
    std = np.tile(np.array(pre.std, dtype=np.float64), repeat)
    mean = np.tile(np.array(pre.mean, dtype=np.float64), repeat)
    folded = weight.astype(np.float64) / (std * pre.value_max)
    return folded, bias - weight.astype(np.float64) @ (mean / std)


AttrsT = TypeVar("AttrsT", bound=PatchAttributes)


class PatchOperator(Operator[AttrsT]):
    """A convolution with kernel = stride = patch_size, plus the position of each token.

    The base of the whole kernel and the one in passes. Weights are (out, patch_size^2 * C) in the
    order row, column, channel. The float reference takes normalised images, the integer reference
    raw pixels: normalisation is folded into weight and bias. A class token comes first where
    ``first`` is 1; its value is part of the positions.
    """

    family: ClassVar[str] = "patch_embed"
    reads_image: ClassVar[bool] = True
    dtype: ClassVar[DType] = "int8"

    def output_type(self, node: Node[AttrsT], inputs: Sequence[TensorType]) -> TensorType:
        tokens = node.attrs.first + node.attrs.patches
        return TensorType((tokens, node.attrs.out_features), self.dtype)

    def _in_features(self, node: Node[AttrsT], inputs: Sequence[TensorType]) -> int:
        return node.attrs.patch_size**2 * inputs[0].shape[-1]

    def can_overwrite(self, node: Node[AttrsT], source: TensorType, target: TensorType) -> bool:
        return False  # shapes differ: plan.passes.overwrite_image decides where tokens begin

    def run_float(self, node: Node[AttrsT], params: Params, inputs: Sequence[Array]) -> Array:
        tokens = patches(inputs[0], node.attrs, params["pad"]) @ params["weight"].T + params["bias"]
        return embed_float(node.attrs, tokens, params)

    def internals(
        self, node: Node[AttrsT], params: Params, inputs: Sequence[Array]
    ) -> dict[str, Array]:
        return {node.output: params["position"]} if node.attrs.positions else {}

    def lower(self, node: Node[AttrsT], params: Params, context: LoweringContext) -> Lowered:
        pre, target = context.preprocessing, context.of(node.output)
        weight, bias = fold_normalisation(params["weight"], params["bias"], pre)
        shift = SHIFT_S16 if self.dtype == "int16" else 0
        arrays = lower_linear(weight, bias, PIXELS, target.scale, node.name, shift)
        arrays |= lower_position(node.attrs, params, target, self.dtype)
        scalars = {"zero_point": target.zero_point}
        scalars |= {f"pad{c}": pre.pad_value[c] for c in range(pre.in_chans)}
        return Lowered(arrays, scalars)

    def _accumulators(self, node: Node[AttrsT], lowered: Lowered, images: Array) -> Array:
        chans = images.shape[-1]
        pad = np.array([lowered.scalars[f"pad{c}"] for c in range(chans)], dtype=np.int64)
        codes = patches(images.astype(np.int64), node.attrs, pad) + PIXELS.zero_point
        return accumulate(codes, lowered.arrays)

    def run_integer(self, node: Node[AttrsT], lowered: Lowered, inputs: Sequence[Array]) -> Array:
        acc = self._accumulators(node, lowered, inputs[0])
        multiply = multiply16 if self.dtype == "int16" else multiply_high
        values = multiply(acc, lowered.arrays["multiplier"])
        zero_point = lowered.scalars["zero_point"]
        return add_position(node.attrs, values, lowered.arrays, zero_point, self.dtype)

    def _geometry(self, node: Node[AttrsT], inputs: Sequence[TensorType]) -> tuple[Field, ...]:
        names = ("patch_size", "grid_size", "pad_before", "first")
        return (
            *int32(img_size=inputs[0].shape[0], in_chans=inputs[0].shape[-1]),
            *int32(**{name: getattr(node.attrs, name) for name in names}),
        )

    def _placement(self, node: Node[AttrsT], inputs: Sequence[TensorType]) -> tuple[Field, ...]:
        """Return the members that not every kernel has."""
        return ()

    def fields(
        self, node: Node[AttrsT], inputs: Sequence[TensorType], scalars: Mapping[str, int]
    ) -> tuple[Field, ...]:
        out_features = node.attrs.out_features
        matrix = linear_fields(self._in_features(node, inputs), out_features, scalars["zero_point"])
        pad = [scalars.get(f"pad{c}", 0) for c in range(4)]
        return (
            *self._geometry(node, inputs),
            *self._placement(node, inputs),
            Bytes4("pad", (pad[0], pad[1], pad[2], pad[3])),
            position_field(node.attrs),
            Nested("linear", matrix),
        )

    def call_arguments(
        self, node: Node[AttrsT], buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        rows, count = buffers.inputs[0], node.attrs.patches
        return rows, "0", buffers.output, buffers.scratch, "0", str(count)

    def work(self, node: Node[AttrsT], tensors: Tensors, *, inside: bool = False) -> Work:
        target = tensors[node.output]
        specs = self.array_specs(node, (tensors[node.inputs[0]],))
        tokens = target.size // node.attrs.out_features
        untiled = min(tokens, node.attrs.tile_from)
        work = product_work(tokens, target.size, specs[0].num_bytes, untiled=untiled)
        tiles = -(-tokens // TILE)
        return work + Work(bytes_read=tiles * sum(spec.num_bytes for spec in specs))

    def _checked(self, node: Node[AttrsT], kernel: int) -> None:
        """Refuse passes that do not divide the patch.

        Raises:
            LoweringError: naming the sides of pass and patch.
        """
        if node.attrs.patch_size % kernel:
            raise LoweringError(
                "the passes do not divide the patch",
                where="forms.patch_kernel",
                got=kernel,
                expected=f"a divisor of {node.attrs.patch_size}",
            )


class PatchEmbed(PatchOperator[PatchAttributes]):
    """The patch embedding by tiles of four whole patches."""

    kernel: ClassVar[str] = "oplib_patch_embed_s8"
    params: ClassVar[str | None] = "oplib_patch_embed_s8_params"
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_tile_embed_s8",
        "oplib_tile_pack_patches_s8",
        "oplib_tile_pack_rows_s8",
        "oplib_tile_pack_s8",
    )

    def array_specs(
        self, node: Node[PatchAttributes], inputs: Sequence[TensorType]
    ) -> tuple[ArraySpec, ...]:
        return (
            *linear_specs(self._in_features(node, inputs), node.attrs.out_features),
            *position_specs(node.attrs, self.output_type(node, inputs).shape[0], self.dtype),
        )

    def flash_arrays(self, node: Node[PatchAttributes], lowered: Lowered) -> Mapping[str, Array]:
        return pack_linear(lowered.arrays)

    def direct(self, node: Node[PatchAttributes], inputs: Sequence[TensorType]) -> bool:
        """Return whether all patches are inside the image and their rows are whole words."""
        size, chans = inputs[0].shape[0], inputs[0].shape[-1]
        covered = node.attrs.grid_size * node.attrs.patch_size
        inside = node.attrs.pad_before == 0 and covered <= size
        return inside and node.attrs.patch_size * chans % QUAD == 0

    def scratch_parts(
        self, node: Node[PatchAttributes], inputs: Sequence[TensorType]
    ) -> Mapping[str, int]:
        if node.overwrites is not None:
            return {}
        features = self._in_features(node, inputs)
        windows = {} if self.direct(node, inputs) else {"windows": 4 * features}
        return {"tile": tile_bytes(features), **windows}

    def _steps(self, node: Node[PatchAttributes]) -> Iterator[tuple[int, int, bool]]:
        """Yield the token range [first, stop) of each step, and whether the step uses a tile."""
        token, tokens = 0, node.attrs.patches
        while token < tokens:
            tiled = token >= node.attrs.tile_from
            stop = min(token + (TILE if tiled else 2), tokens)
            yield token, stop, tiled
            token = stop

    def _corner(self, node: Node[PatchAttributes], inputs: Sequence[TensorType], token: int) -> int:
        """Return the byte of a patch's first pixel: no image byte before it is read again."""
        size, chans = inputs[0].shape[0], inputs[0].shape[-1]
        row, column = divmod(token, node.attrs.grid_size)
        return (row * size + column) * node.attrs.patch_size * chans

    def _room(self, node: Node[PatchAttributes], inputs: Sequence[TensorType], token: int) -> Span:
        """Return the bytes of a step's tile: directly below the strip that the step begins in.

        They belong to earlier strips, which are dead. The kernel computes the same address.
        """
        features = self._in_features(node, inputs)
        first = token - token % node.attrs.grid_size
        start = (self._corner(node, inputs, first) - tile_bytes(features)) // ALIGNMENT * ALIGNMENT
        return Span(0, start, start + tile_bytes(features))

    def bytes_below(self, node: Node[PatchAttributes], inputs: Sequence[TensorType]) -> int | None:
        """Return how many bytes below the image the tokens must begin to overwrite it safely.

        None if no distance is enough, because some tile would begin below the image.
        """
        # In bytes of the image, the tokens before `stop` end at stop * out - below. That must not
        # pass the first byte still in use while they are written, for every step: the tile, which
        # is packed first and then read, or the first pixel of a pair, read in place.
        out, needed = node.attrs.out_features, 0
        for token, stop, tiled in self._steps(node):
            room = self._room(node, inputs, token)
            in_use = room.start if tiled else self._corner(node, inputs, token)
            if tiled and room.start < 0:
                return None
            needed = max(needed, stop * out - in_use)
        return align(needed)

    def touches(
        self, node: Node[PatchAttributes], inputs: Sequence[TensorType], output: TensorType
    ) -> Iterator[Touch]:
        """Yield all at once, or token by token where the tokens overwrite the image.

        A tiled step packs its patches first, which ends their use, and then writes tokens while it
        reads the tile. A pair is read from the image while its tokens are written.
        """
        if node.overwrites is None:
            yield from super().touches(node, inputs, output)
            return
        size, chans = inputs[0].shape[0], inputs[0].shape[-1]
        length, rows = node.attrs.patch_size * chans, range(node.attrs.patch_size)
        for token, stop, tiled in self._steps(node):
            corners = [self._corner(node, inputs, t) for t in range(token, stop)]
            starts = [corner + row * size * chans for corner in corners for row in rows]
            reads = tuple(Span(0, start, start + length) for start in starts)
            writes = (rows_of(OUTPUT, output, token, stop),)
            room = (self._room(node, inputs, token),) if tiled else ()
            if tiled:
                yield Touch(reads, (), room=room)
                yield Touch((), writes, room=room)
            else:
                yield Touch(reads, writes, settled=False)

    def _placement(
        self, node: Node[PatchAttributes], inputs: Sequence[TensorType]
    ) -> tuple[Field, ...]:
        return int32(direct=int(self.direct(node, inputs)), tile_from=node.attrs.tile_from)

    def in_passes(self, node: Node[PatchAttributes], kernel: int) -> Node[PatchAttributes]:
        self._checked(node, kernel)
        attrs = PassesAttributes(**vars(node.attrs), kernel=kernel)
        return replace(node, op="patch_embed_passes", attrs=attrs)

    def in_strips(self, node: Node[PatchAttributes]) -> Node[PatchAttributes] | None:
        return replace(node, op="patch_embed_strips")

    def over_image(
        self, node: Node[PatchAttributes], inputs: Sequence[TensorType]
    ) -> Node[PatchAttributes] | None:
        """Return the node that begins the least below its image, with the earliest tile.

        Tokens overwrite the image where all patches are inside it, their rows are whole words and
        there is no class token; otherwise the result is None.
        """
        if node.attrs.first or not self.direct(node, inputs):
            return None
        choices = []
        # A tile takes 8 bytes per input of a patch and needs that many dead bytes of the image; a
        # strip holds grid_size or more. So pairs must come first: two strips of them where
        # grid_size >= 4, and below that the whole image, which is at most three strips. A third is
        # tried as well, because a later first tile may begin less below the image.
        for tile_from in range(0, min(3 * node.attrs.grid_size, node.attrs.patches) + 2, 2):
            attrs = replace(node.attrs, tile_from=tile_from)
            placed = replace(node, op="patch_embed_in_place", attrs=attrs, overwrites=0)
            below = self.bytes_below(placed, inputs)
            if below is not None:
                choices.append((below, tile_from, replace(placed, below=below)))
        return min(choices, key=lambda choice: choice[:2])[2]


class PatchEmbedInPlace(PatchEmbed):
    """The patch embedding whose tokens overwrite the image, strip by strip."""

    kernel: ClassVar[str] = "oplib_patch_embed_in_place_s8"
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_tile_embed_s8",
        "oplib_tile_pack_patches_s8",
        "oplib_tile_pack_rows_s8",
    )

    def call_arguments(
        self, node: Node[PatchAttributes], buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return buffers.inputs[0], buffers.output
