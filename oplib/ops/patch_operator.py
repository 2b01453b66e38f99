"""What patch embeddings share: patches of raw pixels, normalisation, padding and positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.errors import LoweringError
from oplib.graph import DType, Node, TensorType
from oplib.ops.base import (
    Array,
    Buffers,
    Bytes4,
    Field,
    Lowered,
    LoweringContext,
    Nested,
    Operator,
    Params,
    Tensors,
    int32,
)
from oplib.ops.embed_tokens import (
    EmbeddingAttributes,
    add_position,
    embed_float,
    lower_position,
    position_field,
)
from oplib.ops.linear import (
    SHIFT_S16,
    accumulate,
    finest_scale,
    linear_fields,
    lower_linear,
    product_work,
)
from oplib.ops.packing import TILE, num_panels, panel_sizes
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
        panel: tokens per pass over the weights; in place, the most.
    """

    patch_size: int = field(kw_only=True)
    grid_size: int = field(kw_only=True)
    pad_before: int = field(kw_only=True)
    tile_from: int = 0
    panel: int = TILE

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

    def finest_scale(self, node: Node[AttrsT], params: Params, context: LoweringContext) -> float:
        pre = context.preprocessing
        weight, bias = fold_normalisation(params["weight"], params["bias"], pre)
        return finest_scale(weight, bias, PIXELS, SHIFT_S16 if self.dtype == "int16" else 0)

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
        matrix, positions = specs[:2], specs[2:]
        passes = self._passes(node, tensors[node.inputs[0]])
        loaded = -(-(tokens - untiled) // TILE) - (-untiled // 2)
        constants = sum(spec.num_bytes for spec in matrix)
        position_bytes = sum(spec.num_bytes for spec in positions)
        return work + Work(
            bytes_read=passes * constants + position_bytes,
            bytes_reread=max(0, loaded - passes) * constants,
        )

    def _passes(self, node: Node[AttrsT], image: TensorType) -> int:
        """Return how many times the weights are read."""
        return num_panels(node.attrs.patches, node.attrs.panel)

    def panel_sizes(self, node: Node[AttrsT], inputs: Sequence[TensorType]) -> tuple[int, ...]:
        return panel_sizes(node.attrs.patches)

    def settings(self, node: Node[AttrsT]) -> Mapping[str, int]:
        return {"panel": node.attrs.panel}

    def with_panel(
        self, node: Node[AttrsT], inputs: Sequence[TensorType], panel: int
    ) -> Node[AttrsT]:
        return replace(node, attrs=replace(node.attrs, panel=panel))

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
