"""Patch embedding of raw pixels, with normalisation, padding and positions folded in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from oplib.graph import Node, TensorType
from oplib.operator import Array, ArraySpec, Field, Lowered, LoweringContext, Operator, Params
from oplib.ops.linear import accumulate, linear_fields, linear_specs, lower_linear
from oplib.quant import QuantParams, requantize

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


class PatchEmbed(Operator):
    """A convolution with kernel = stride = patch_size plus the position of each token.

    Weights are (out, patch_size^2 * C) in the order row, column, channel. The float reference takes
    normalised images, the integer one raw pixels: normalisation is folded into weight and bias.
    """

    kernel: ClassVar[str] = "oplib_patch_embed_s8"

    def output_type(self, node: Node, inputs: Sequence[TensorType]) -> TensorType:
        return TensorType((node.int_attr("grid_size") ** 2, node.int_attr("out_features")))

    def _in_features(self, node: Node, inputs: Sequence[TensorType]) -> int:
        return node.int_attr("patch_size") ** 2 * inputs[0].shape[-1]

    def array_specs(self, node: Node, inputs: Sequence[TensorType]) -> tuple[ArraySpec, ...]:
        out_features = node.int_attr("out_features")
        return (
            *linear_specs(self._in_features(node, inputs), out_features),
            ArraySpec("position", "int8", (node.int_attr("grid_size") ** 2, out_features)),
        )

    def scratch_bytes(self, node: Node, inputs: Sequence[TensorType]) -> int:
        return 2 * self._in_features(node, inputs)

    def run_float(self, node: Node, params: Params, inputs: Sequence[Array]) -> Array:
        tokens = patches(inputs[0], node, params["pad"])
        result: Array = tokens @ params["weight"].T + params["bias"] + params["position"]
        return result

    def internals(self, node: Node, params: Params, inputs: Sequence[Array]) -> dict[str, Array]:
        return {node.output: params["position"]}  # int8 at the output's scale

    def lower(self, node: Node, params: Params, context: LoweringContext) -> Lowered:
        pre, target = context.preprocessing, context.of(node.output)
        repeat = node.int_attr("patch_size") ** 2
        std = np.tile(np.array(pre.std, dtype=np.float64), repeat)
        mean = np.tile(np.array(pre.mean, dtype=np.float64), repeat)
        weight = params["weight"].astype(np.float64) / (std * pre.value_max)
        bias = params["bias"] - params["weight"].astype(np.float64) @ (mean / std)
        arrays = lower_linear(weight, bias, PIXELS, target.scale, node.name)
        position = QuantParams(target.scale).quantize(params["position"])
        scalars = {"zero_point": target.zero_point}
        scalars |= {f"pad{c}": pre.pad_value[c] for c in range(pre.in_chans)}
        return Lowered({**arrays, "position": position}, scalars)

    def run_integer(self, node: Node, lowered: Lowered, inputs: Sequence[Array]) -> Array:
        chans = inputs[0].shape[-1]
        pad = np.array([lowered.scalars[f"pad{c}"] for c in range(chans)], dtype=np.int64)
        codes = patches(inputs[0].astype(np.int64), node, pad) + PIXELS.zero_point
        offset = lowered.scalars["zero_point"] + lowered.arrays["position"].astype(np.int64)
        acc = accumulate(codes, lowered.arrays)
        return requantize(acc, lowered.arrays["multiplier"], offset)

    def fields(
        self, node: Node, inputs: Sequence[TensorType], scalars: Mapping[str, int]
    ) -> tuple[Field, ...]:
        out_features = node.int_attr("out_features")
        matrix = linear_fields(self._in_features(node, inputs), out_features, scalars["zero_point"])
        return (
            Field("img_size", "int32_t", inputs[0].shape[0]),
            Field("in_chans", "int32_t", inputs[0].shape[-1]),
            Field("patch_size", "int32_t", node.int_attr("patch_size")),
            Field("grid_size", "int32_t", node.int_attr("grid_size")),
            Field("pad_before", "int32_t", node.int_attr("pad_before")),
            Field("pad", "uint8_t[4]", [scalars.get(f"pad{c}", 0) for c in range(4)]),
            Field("position", "array", "position"),
            Field("linear", "struct", matrix),
        )

    def call_arguments(
        self, inputs: Sequence[str], output: str, scratch: str, tokens: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return f"(const uint8_t *){inputs[0]}", output, scratch
