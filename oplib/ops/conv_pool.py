"""A stage of a convolutional tokenizer: 3 x 3 convolution, ReLU, 3 x 3 max pooling by 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from oplib.graph import Attributes, Node, TensorType
from oplib.ops.base import (
    Array,
    ArrayRef,
    ArraySpec,
    Buffers,
    Field,
    Lowered,
    LoweringContext,
    Nested,
    Operator,
    Params,
    Scalar,
    Tensors,
    int32,
)
from oplib.ops.linear import (
    accumulate,
    finest_scale,
    linear_fields,
    linear_specs,
    lower_linear,
    pack_linear,
    product_work,
)
from oplib.ops.packing import QUAD, TILE, num_panels, panel_bytes, panel_sizes
from oplib.ops.patch_operator import PIXELS, fold_normalisation
from oplib.ops.quant import requantize
from oplib.ops.work import Work


def windows(x: Array, stride: int, pad: Array) -> Array:
    """Cut (B, H, W, C) into its 3 x 3 windows (B, rows, columns, 9 * C).

    Args:
        x: feature maps or pixels.
        stride: distance of the windows in pixels.
        pad: value of the border of one pixel, (C,).
    """
    padded = np.pad(x - pad, ((0, 0), (1, 1), (1, 1), (0, 0))) + pad
    view = sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::stride, ::stride]
    ordered = view.transpose(0, 1, 2, 4, 5, 3)  # B, row, column, y, x, C
    return ordered.reshape(*ordered.shape[:3], -1)


def max_pool(x: Array, lowest: float) -> Array:
    """Return the maximum of every 3 x 3 window of (B, H, W, C), at stride 2, border `lowest`."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=lowest)
    view = sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2]
    result: Array = view.max(axis=(-1, -2))
    return result


@dataclass(frozen=True)
class ConvPoolAttributes(Attributes):
    """Shape of a convolution.

    Args:
        out_features: output channels.
        stride: stride of the convolution; that of the pooling is 2.
        panel: windows per pass over the weights; a row of the convolution is whole panels.
    """

    out_features: int
    stride: int
    panel: int = TILE


class ConvPool(Operator[ConvPoolAttributes]):
    """``max_pool(relu(conv(x) + b))`` with batch norm folded; raw pixels or int8 codes to int8.

    Weights are (out, 9 * C) in the order row, column, channel.
    """

    family: ClassVar[str] = "conv_pool"
    kernel: ClassVar[str] = "oplib_conv_pool_s8"
    reads_image: ClassVar[bool] = True
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_conv_pool_row_s8",
        "oplib_tile_pack_windows_s8",
        "oplib_tile_pack_rows_s8",
        "oplib_tile_linear_s8",
    )

    def conv_size(self, node: Node[ConvPoolAttributes], inputs: Sequence[TensorType]) -> int:
        """Return the rows, and columns, of the convolution's output."""
        return -(-inputs[0].shape[0] // node.attrs.stride)

    def output_type(
        self, node: Node[ConvPoolAttributes], inputs: Sequence[TensorType]
    ) -> TensorType:
        pooled = -(-self.conv_size(node, inputs) // 2)
        return TensorType((pooled, pooled, node.attrs.out_features))

    def array_specs(
        self, node: Node[ConvPoolAttributes], inputs: Sequence[TensorType]
    ) -> tuple[ArraySpec, ...]:
        chans = inputs[0].shape[-1]
        pad = ArraySpec("pad", "uint8", (chans,))
        return (*linear_specs(9 * chans, node.attrs.out_features), pad)

    def flash_arrays(self, node: Node[ConvPoolAttributes], lowered: Lowered) -> Mapping[str, Array]:
        return pack_linear(lowered.arrays)

    def scratch_parts(
        self, node: Node[ConvPoolAttributes], inputs: Sequence[TensorType]
    ) -> Mapping[str, int]:
        chans, panel = inputs[0].shape[-1], node.attrs.panel
        windows = TILE * 9 * chans if chans % QUAD else 0
        results = max(panel * node.attrs.out_features, windows)
        return {"panel": panel_bytes(panel, 9 * chans), "results": results}

    def panel_sizes(
        self, node: Node[ConvPoolAttributes], inputs: Sequence[TensorType]
    ) -> tuple[int, ...]:
        return panel_sizes(self.conv_size(node, inputs))

    def with_panel(
        self, node: Node[ConvPoolAttributes], inputs: Sequence[TensorType], panel: int
    ) -> Node[ConvPoolAttributes]:
        return replace(node, attrs=replace(node.attrs, panel=panel))

    def settings(self, node: Node[ConvPoolAttributes]) -> Mapping[str, int]:
        return {"panel": node.attrs.panel}

    def passes(self, node: Node[ConvPoolAttributes], inputs: Sequence[TensorType]) -> int:
        """Return how many times the weights are read."""
        size = self.conv_size(node, inputs)
        return size * num_panels(size, node.attrs.panel)

    def work(
        self, node: Node[ConvPoolAttributes], tensors: Tensors, *, inside: bool = False
    ) -> Work:
        source = (tensors[node.inputs[0]],)
        specs, size = self.array_specs(node, source), self.conv_size(node, source)
        outputs = size**2 * node.attrs.out_features
        constants = sum(spec.num_bytes for spec in specs)
        read, loaded = self.passes(node, source), size * num_panels(size, TILE)
        return product_work(size**2, outputs, specs[0].num_bytes) + Work(
            epilogue_elements=outputs,  # pooled
            bytes_read=read * constants,
            bytes_reread=(loaded - read) * constants,
        )

    def run_float(
        self, node: Node[ConvPoolAttributes], params: Params, inputs: Sequence[Array]
    ) -> Array:
        x = windows(inputs[0], node.attrs.stride, params["pad"])
        convolved = x @ params["weight"].T + params["bias"]
        return max_pool(np.maximum(convolved, 0.0), 0.0).astype(np.float32)

    def lower(
        self, node: Node[ConvPoolAttributes], params: Params, context: LoweringContext
    ) -> Lowered:
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

    def finest_scale(
        self, node: Node[ConvPoolAttributes], params: Params, context: LoweringContext
    ) -> float:
        weight, bias, source = params["weight"], params["bias"], PIXELS
        if context.inputs[0].dtype == "uint8":
            weight, bias = fold_normalisation(weight, bias, context.preprocessing)
        else:
            source = context.of(node.inputs[0])
        return finest_scale(weight, bias, source)

    def run_integer(
        self, node: Node[ConvPoolAttributes], lowered: Lowered, inputs: Sequence[Array]
    ) -> Array:
        pixels, zero_point = inputs[0].dtype == np.uint8, lowered.scalars["zero_point"]
        pad = lowered.arrays["pad"]
        pad = pad.astype(np.int64) if pixels else pad.view(np.int8).astype(np.int64)
        x = windows(inputs[0].astype(np.int64), node.attrs.stride, pad)
        codes = x + PIXELS.zero_point if pixels else x
        value = requantize(
            accumulate(codes, lowered.arrays), lowered.arrays["multiplier"], zero_point
        )
        return max_pool(np.maximum(value, np.int8(zero_point)), -128)

    def fields(
        self,
        node: Node[ConvPoolAttributes],
        inputs: Sequence[TensorType],
        scalars: Mapping[str, int],
    ) -> tuple[Field, ...]:
        chans, out = inputs[0].shape[-1], node.attrs.out_features
        return (
            *int32(in_size=inputs[0].shape[0], in_chans=chans, stride=node.attrs.stride),
            *int32(conv_size=self.conv_size(node, inputs), panel=node.attrs.panel),
            Scalar("flip", "uint32_t", 0x80808080 if inputs[0].dtype == "uint8" else 0),
            ArrayRef("pad", "pad"),
            Nested("linear", linear_fields(9 * chans, out, scalars["zero_point"])),
        )

    def call_arguments(
        self, node: Node[ConvPoolAttributes], buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return f"(const uint8_t *){buffers.inputs[0]}", buffers.output, buffers.scratch
