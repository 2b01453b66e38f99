"""A stage of a convolutional tokenizer: 3 x 3 convolution, ReLU, 3 x 3 max pooling by 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from oplib.graph import Node, TensorType
from oplib.ops.base import (
    Array,
    ArraySpec,
    Buffers,
    Field,
    Lowered,
    LoweringContext,
    Operator,
    Params,
)
from oplib.ops.linear import accumulate, linear_fields, linear_specs, lower_linear, pack_linear
from oplib.ops.packing import tile_bytes
from oplib.ops.patch_embed import PIXELS, fold_normalisation
from oplib.ops.quant import requantize


def windows(x: Array, stride: int, pad: Array) -> Array:
    """Cut (B, H, W, C), padded by one pixel `pad` (C,), into (B, rows, columns, 9 * C)."""
    padded = np.pad(x - pad, ((0, 0), (1, 1), (1, 1), (0, 0))) + pad
    view = sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::stride, ::stride]
    ordered = view.transpose(0, 1, 2, 4, 5, 3)  # B, row, column, y, x, C
    return ordered.reshape(*ordered.shape[:3], -1)


def max_pool(x: Array, lowest: float) -> Array:
    """Return the largest of every 3 x 3 window, stride 2, of (B, H, W, C)."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=lowest)
    view = sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2]
    result: Array = view.max(axis=(-1, -2))
    return result


class ConvPool(Operator):
    """``max_pool(relu(conv(x) + b))``, batch norm folded; raw pixels or int8 codes to int8.

    Weights are (out, 9 * C) in the order row, column, channel.
    """

    kernel: ClassVar[str] = "oplib_conv_pool_s8"
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_tile_pack_rows_s8",
        "oplib_tile_pack_s8",
        "oplib_tile_linear_s8",
    )

    def _conv_size(self, node: Node, inputs: Sequence[TensorType]) -> int:
        return -(-inputs[0].shape[0] // node.int_attr("stride"))

    def output_type(self, node: Node, inputs: Sequence[TensorType]) -> TensorType:
        pooled = -(-self._conv_size(node, inputs) // 2)
        return TensorType((pooled, pooled, node.int_attr("out_features")))

    def array_specs(self, node: Node, inputs: Sequence[TensorType]) -> tuple[ArraySpec, ...]:
        chans = inputs[0].shape[-1]
        pad = ArraySpec("pad", "uint8", (chans,))
        return (*linear_specs(9 * chans, node.int_attr("out_features")), pad)

    def flash_arrays(self, node: Node, lowered: Lowered) -> Mapping[str, Array]:
        return pack_linear(lowered.arrays)

    def scratch_parts(self, node: Node, inputs: Sequence[TensorType]) -> Mapping[str, int]:
        row = self._conv_size(node, inputs) * node.int_attr("out_features")
        features = 9 * inputs[0].shape[-1]
        return {"tile": tile_bytes(features), "rows": 4 * features + 3 * row}

    def run_float(self, node: Node, params: Params, inputs: Sequence[Array]) -> Array:
        x = windows(inputs[0], node.int_attr("stride"), params["pad"])
        convolved = x @ params["weight"].T + params["bias"]
        return max_pool(np.maximum(convolved, 0.0), 0.0).astype(np.float32)

    def lower(self, node: Node, params: Params, context: LoweringContext) -> Lowered:
        target, pre = context.of(node.output), context.preprocessing
        if context.inputs[0].dtype == "uint8":
            weight, bias = fold_normalisation(params["weight"], params["bias"], pre)
            arrays = lower_linear(weight, bias, PIXELS, target.scale, node.name)
            pad = np.array(pre.pad_value, np.uint8)
        else:
            source = context.of(node.inputs[0])
            arrays = lower_linear(params["weight"], params["bias"], source, target.scale, node.name)
            code = np.int8(source.zero_point)
            pad = np.full(context.inputs[0].shape[-1], code, np.int8).view(np.uint8)
        return Lowered({**arrays, "pad": pad}, {"zero_point": target.zero_point})

    def run_integer(self, node: Node, lowered: Lowered, inputs: Sequence[Array]) -> Array:
        pixels, zero_point = inputs[0].dtype == np.uint8, lowered.scalars["zero_point"]
        pad = lowered.arrays["pad"]
        pad = pad.astype(np.int64) if pixels else pad.view(np.int8).astype(np.int64)
        x = windows(inputs[0].astype(np.int64), node.int_attr("stride"), pad)
        codes = x + PIXELS.zero_point if pixels else x
        value = requantize(
            accumulate(codes, lowered.arrays), lowered.arrays["multiplier"], zero_point
        )
        return max_pool(np.maximum(value, np.int8(zero_point)), -128)

    def fields(
        self, node: Node, inputs: Sequence[TensorType], scalars: Mapping[str, int]
    ) -> tuple[Field, ...]:
        chans, out = inputs[0].shape[-1], node.int_attr("out_features")
        return (
            Field("in_size", "int32_t", inputs[0].shape[0]),
            Field("in_chans", "int32_t", chans),
            Field("stride", "int32_t", node.int_attr("stride")),
            Field("conv_size", "int32_t", self._conv_size(node, inputs)),
            Field("flip", "uint32_t", 0x80 if inputs[0].dtype == "uint8" else 0),
            Field("pad", "array", "pad"),
            Field("linear", "struct", linear_fields(9 * chans, out, scalars["zero_point"])),
        )

    def call_arguments(
        self, node: Node, buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return f"(const uint8_t *){buffers.inputs[0]}", buffers.output, buffers.scratch
