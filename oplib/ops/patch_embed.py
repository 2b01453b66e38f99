"""Patch embedding of raw pixels, with normalisation, padding and positions folded in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from mcuformer.data.preprocessing import Preprocessing
from oplib.graph import DType, Node, TensorType
from oplib.ops.base import (
    ALIGNMENT,
    OUTPUT,
    Array,
    ArraySpec,
    Buffers,
    Field,
    Lowered,
    LoweringContext,
    Operator,
    Params,
    Span,
    Touch,
    align,
    rows_of,
)
from oplib.ops.embed_tokens import (
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
)
from oplib.ops.packing import QUAD, TILE, even, pack_weight, tile_bytes
from oplib.ops.quant import QuantParams, multiply16, multiply_high

PIXELS = QuantParams(1.0, -128)  # raw pixel p is the int8 code p - 128


def patches(images: Array, node: Node, pad: Array) -> Array:
    """Cut images (B, H, W, C), padded with `pad` (C,), into (B, tokens, patch_size^2 * C)."""
    size, before = node.int_attr("patch_size"), node.int_attr("pad_before")
    after = node.int_attr("grid_size") * size - images.shape[1] - before
    border = ((0, 0), (before, after), (before, after), (0, 0))
    padded = np.pad(images - pad, border) + pad
    windows = sliding_window_view(padded, (size, size), axis=(1, 2))[:, ::size, ::size]
    ordered = windows.transpose(0, 1, 2, 4, 5, 3)  # B, row, column, y, x, C
    return ordered.reshape(len(images), -1, size * size * images.shape[-1])


def fold_normalisation(weight: Array, bias: Array, pre: Preprocessing) -> tuple[Array, Array]:
    """Return weights (out, positions * C) and bias for raw pixels instead of normalised ones."""
    repeat = weight.shape[1] // pre.in_chans
    std = np.tile(np.array(pre.std, dtype=np.float64), repeat)
    mean = np.tile(np.array(pre.mean, dtype=np.float64), repeat)
    folded = weight.astype(np.float64) / (std * pre.value_max)
    return folded, bias - weight.astype(np.float64) @ (mean / std)


class PatchEmbed(Operator):
    """A convolution with kernel = stride = patch_size plus the position of each token.

    Weights are (out, patch_size^2 * C) in the order row, column, channel. The float reference takes
    normalised images, the integer one raw pixels: normalisation is folded into weight and bias. A
    class token comes first where ``first`` is 1; its value is a part of the positions.
    """

    kernel: ClassVar[str] = "oplib_patch_embed_s8"
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_tile_pack_rows_s8",
        "oplib_tile_pack_s8",
    )
    dtype: ClassVar[str] = "int8"

    def output_type(self, node: Node, inputs: Sequence[TensorType]) -> TensorType:
        tokens = node.int_attr("first") + node.int_attr("grid_size") ** 2
        kind: DType = "int16" if self.dtype == "int16" else "int8"
        return TensorType((tokens, node.int_attr("out_features")), kind)

    def _in_features(self, node: Node, inputs: Sequence[TensorType]) -> int:
        return node.int_attr("patch_size") ** 2 * inputs[0].shape[-1]

    def array_specs(self, node: Node, inputs: Sequence[TensorType]) -> tuple[ArraySpec, ...]:
        return (
            *linear_specs(self._in_features(node, inputs), node.int_attr("out_features")),
            *position_specs(node, self.output_type(node, inputs).shape[0], self.dtype),
        )

    def flash_arrays(self, node: Node, lowered: Lowered) -> Mapping[str, Array]:
        return pack_linear(lowered.arrays)

    def direct(self, node: Node, inputs: Sequence[TensorType]) -> bool:
        """Tell whether patches lie inside the image and their rows are whole words."""
        size, chans = inputs[0].shape[0], inputs[0].shape[-1]
        covered = node.int_attr("grid_size") * node.int_attr("patch_size")
        inside = node.int_attr("pad_before") == 0 and covered <= size
        return inside and node.int_attr("patch_size") * chans % QUAD == 0

    def scratch_parts(self, node: Node, inputs: Sequence[TensorType]) -> Mapping[str, int]:
        if node.overwrites is not None:
            return {}
        features = self._in_features(node, inputs)
        windows = {} if self.direct(node, inputs) else {"windows": 4 * features}
        return {"tile": tile_bytes(features), **windows}

    def can_overwrite(self, node: Node, source: TensorType, target: TensorType) -> bool:
        return False  # the image is far larger: plan.passes.overwrite_image places them

    def _steps(self, node: Node) -> Iterator[tuple[int, int, bool]]:
        """Yield first token, end and whether a tile is used, of each step over an image."""
        token, tokens = 0, node.int_attr("grid_size") ** 2
        while token < tokens:
            tiled = token >= node.int_attr("tile_from")
            stop = min(token + (TILE if tiled else 2), tokens)
            yield token, stop, tiled
            token = stop

    def _corner(self, node: Node, inputs: Sequence[TensorType], token: int) -> int:
        """Return the byte of a patch's first pixel; nothing before it is read from then on."""
        size, chans = inputs[0].shape[0], inputs[0].shape[-1]
        row, column = divmod(token, node.int_attr("grid_size"))
        return (row * size + column) * node.int_attr("patch_size") * chans

    def _room(self, node: Node, inputs: Sequence[TensorType], token: int) -> Span:
        """Return where the tile of a step lies: directly below the strip that it begins in."""
        features = self._in_features(node, inputs)
        first = token - token % node.int_attr("grid_size")
        start = (self._corner(node, inputs, first) - tile_bytes(features)) // ALIGNMENT * ALIGNMENT
        return Span(0, start, start + tile_bytes(features))

    def bytes_below(self, node: Node, inputs: Sequence[TensorType]) -> int | None:
        """Return how far below the image the tokens must begin to overwrite it, with `tile_from`.

        None if no distance is enough, because a tile would lie below the image.
        """
        out, needed = node.int_attr("out_features"), 0
        for token, stop, tiled in self._steps(node):
            room = self._room(node, inputs, token)
            # a tile is packed before tokens are written; pairs are read while they are
            free = room.start if tiled else self._corner(node, inputs, token)
            if tiled and room.start < 0:
                return None
            needed = max(needed, stop * out - free)
        return align(needed)

    def touches(
        self, node: Node, inputs: Sequence[TensorType], output: TensorType
    ) -> Iterator[Touch]:
        """Read patches, strip by strip, where the tokens overwrite the image; else all at once."""
        if node.overwrites is None:
            yield from super().touches(node, inputs, output)
            return
        size, chans = inputs[0].shape[0], inputs[0].shape[-1]
        length, rows = node.int_attr("patch_size") * chans, range(node.int_attr("patch_size"))
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

    def run_float(self, node: Node, params: Params, inputs: Sequence[Array]) -> Array:
        tokens = patches(inputs[0], node, params["pad"]) @ params["weight"].T + params["bias"]
        return embed_float(node, tokens, params)

    def internals(self, node: Node, params: Params, inputs: Sequence[Array]) -> dict[str, Array]:
        return {node.output: params["position"]} if node.int_attr("positions") else {}

    def lower(self, node: Node, params: Params, context: LoweringContext) -> Lowered:
        pre, target = context.preprocessing, context.of(node.output)
        weight, bias = fold_normalisation(params["weight"], params["bias"], pre)
        shift = SHIFT_S16 if self.dtype == "int16" else 0
        arrays = lower_linear(weight, bias, PIXELS, target.scale, node.name, shift)
        arrays |= lower_position(node, params, target, self.dtype)
        scalars = {"zero_point": target.zero_point}
        scalars |= {f"pad{c}": pre.pad_value[c] for c in range(pre.in_chans)}
        return Lowered(arrays, scalars)

    def _accumulators(self, node: Node, lowered: Lowered, images: Array) -> Array:
        chans = images.shape[-1]
        pad = np.array([lowered.scalars[f"pad{c}"] for c in range(chans)], dtype=np.int64)
        codes = patches(images.astype(np.int64), node, pad) + PIXELS.zero_point
        return accumulate(codes, lowered.arrays)

    def run_integer(self, node: Node, lowered: Lowered, inputs: Sequence[Array]) -> Array:
        acc = self._accumulators(node, lowered, inputs[0])
        multiply = multiply16 if self.dtype == "int16" else multiply_high
        values = multiply(acc, lowered.arrays["multiplier"])
        zero_point = lowered.scalars["zero_point"]
        return add_position(node, values, lowered.arrays, zero_point, self.dtype)

    def _geometry(self, node: Node, inputs: Sequence[TensorType]) -> tuple[Field, ...]:
        names = ("patch_size", "grid_size", "pad_before", "first")
        return (
            Field("img_size", "int32_t", inputs[0].shape[0]),
            Field("in_chans", "int32_t", inputs[0].shape[-1]),
            *(Field(name, "int32_t", node.int_attr(name)) for name in names),
        )

    def _placement(self, node: Node, inputs: Sequence[TensorType]) -> tuple[Field, ...]:
        return (
            Field("direct", "int32_t", int(self.direct(node, inputs))),
            Field("tile_from", "int32_t", int(node.attrs.get("tile_from", 0))),
        )

    def fields(
        self, node: Node, inputs: Sequence[TensorType], scalars: Mapping[str, int]
    ) -> tuple[Field, ...]:
        out_features = node.int_attr("out_features")
        matrix = linear_fields(self._in_features(node, inputs), out_features, scalars["zero_point"])
        return (
            *self._geometry(node, inputs),
            *self._placement(node, inputs),
            Field("pad", "uint8_t[4]", [scalars.get(f"pad{c}", 0) for c in range(4)]),
            position_field(node),
            Field("linear", "struct", matrix),
        )

    def call_arguments(
        self, node: Node, buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        rows, count = buffers.inputs[0], node.int_attr("grid_size") ** 2
        return rows, "0", buffers.output, buffers.scratch, "0", str(count)


class PatchEmbedPasses(PatchEmbed):
    """The same in passes of kernels ``kernel`` x ``kernel``, whose sums meet in 32 bits.

    Equal to the whole in every integer (MCUFormer, section 3.2, patch embedding decomposition). In
    flash the matrices (out, kernel^2 * C) of the passes follow one another.
    """

    kernel: ClassVar[str] = "oplib_patch_embed_passes_s8"
    params: ClassVar[str] = "oplib_patch_embed_passes_params"
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_tile_pack_rows_s8",
        "oplib_tile_pack_s8",
    )

    def _passes(self, node: Node, inputs: Sequence[TensorType]) -> tuple[int, int]:
        """Return how many passes there are, and the features of one."""
        side = node.int_attr("kernel")
        count = node.int_attr("patch_size") // side
        return count**2, side**2 * inputs[0].shape[-1]

    def array_specs(self, node: Node, inputs: Sequence[TensorType]) -> tuple[ArraySpec, ...]:
        passes, features = self._passes(node, inputs)
        weight, requant = linear_specs(features, node.int_attr("out_features"))
        whole = ArraySpec("weight", "int8", (passes, *weight.shape))
        tokens = self.output_type(node, inputs).shape[0]
        return (whole, requant, *position_specs(node, tokens, self.dtype))

    def flash_arrays(self, node: Node, lowered: Lowered) -> Mapping[str, Array]:
        weight = lowered.arrays["weight"]
        side = node.int_attr("kernel")
        count = node.int_attr("patch_size") // side
        parts = weight.reshape(len(weight), count, side, count, side, -1)
        by_pass = parts.transpose(1, 3, 0, 2, 4, 5)  # o, u, y, v, x, c -> u, v, o, y, x, c
        matrices = by_pass.reshape(count**2, len(weight), -1)
        packed = np.stack([pack_weight(matrix) for matrix in matrices])
        return {**pack_linear(lowered.arrays), "weight": packed}

    def scratch_parts(self, node: Node, inputs: Sequence[TensorType]) -> Mapping[str, int]:
        features = self._passes(node, inputs)[1]
        sums = 16 * even(node.int_attr("out_features"))
        return {"sums": sums, "tile": tile_bytes(features), "windows": 4 * features}

    def _geometry(self, node: Node, inputs: Sequence[TensorType]) -> tuple[Field, ...]:
        kernel = Field("kernel", "int32_t", node.int_attr("kernel"))
        return (*super()._geometry(node, inputs), kernel)

    def _placement(self, node: Node, inputs: Sequence[TensorType]) -> tuple[Field, ...]:
        return ()


class PatchEmbedPassesS16(PatchEmbedPasses):
    """The same into an int16 residual stream."""

    kernel: ClassVar[str] = "oplib_patch_embed_passes_s16"
    dtype: ClassVar[str] = "int16"

    def call_arguments(
        self, node: Node, buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return buffers.inputs[0], buffers.output, buffers.scratch


class _Strips(PatchEmbed):
    """What is common where the application hands the image over, a strip of patches at a time."""

    fetches_image: ClassVar[bool] = True

    def scratch_parts(self, node: Node, inputs: Sequence[TensorType]) -> Mapping[str, int]:
        row_bytes = inputs[0].shape[1] * inputs[0].shape[2]
        strip = node.int_attr("patch_size") * row_bytes
        return {"strip": strip, **super().scratch_parts(node, inputs)}

    def call_arguments(
        self, node: Node, buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return "model_fetch_rows", buffers.output, buffers.scratch


class PatchEmbedStrips(_Strips):
    """The whole patch embedding of an image in strips."""

    kernel: ClassVar[str] = "oplib_patch_embed_strips_s8"
    params: ClassVar[str] = "oplib_patch_embed_s8_params"
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_patch_embed_s8",
        "oplib_tile_pack_rows_s8",
        "oplib_tile_pack_s8",
    )


class PatchEmbedPassesStrips(_Strips, PatchEmbedPasses):
    """The decomposed patch embedding of an image in strips."""

    kernel: ClassVar[str] = "oplib_patch_embed_passes_strips_s8"
    params: ClassVar[str] = "oplib_patch_embed_passes_params"
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_patch_embed_passes_s8",
        "oplib_tile_pack_rows_s8",
        "oplib_tile_pack_s8",
    )
