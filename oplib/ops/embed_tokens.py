"""Tokens of a convolutional tokenizer: positions and class token join, in the residual's scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

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
from oplib.ops.quant import QuantParams, multiplier, multiply_high, saturate, saturate16


def position_specs(node: Node, tokens: int, dtype: str) -> tuple[ArraySpec, ...]:
    """Return the array of positions (and class token), where the network has one."""
    if not node.int_attr("positions"):
        return ()
    shape = (tokens, node.int_attr("out_features"))
    return (ArraySpec("position", "int16" if dtype == "int16" else "int8", shape),)


def lower_position(node: Node, params: Params, target: QuantParams, dtype: str) -> dict[str, Array]:
    """Quantise positions (and class token) at the output's scale, without its zero point."""
    if not node.int_attr("positions"):
        return {}
    codes = np.rint(params["position"].astype(np.float64) / target.scale)
    return {"position": saturate16(codes) if dtype == "int16" else saturate(codes)}


def position_field(node: Node) -> Field:
    """Return the member that points to the positions, or to nothing."""
    return Field("position", "array", "position" if node.int_attr("positions") else None)


def add_position(
    node: Node, values: Array, arrays: Mapping[str, Array], zero_point: int, dtype: str
) -> Array:
    """Put the class token in front of values (B, n, D), add positions and saturate."""
    clip = saturate16 if dtype == "int16" else saturate
    if not node.int_attr("positions"):
        return clip(values + zero_point)
    first = np.zeros((len(values), node.int_attr("first"), values.shape[-1]), np.int64)
    tokens = np.concatenate([first, values], axis=1)
    return clip(tokens + zero_point + arrays["position"].astype(np.int64))


class EmbedTokens(Operator):
    """``y = x + position`` after the class token; int8 (size, size, D) to (first + size^2, D)."""

    kernel: ClassVar[str] = "oplib_embed_tokens_s8"
    dtype: ClassVar[str] = "int8"

    def output_type(self, node: Node, inputs: Sequence[TensorType]) -> TensorType:
        tokens = node.int_attr("first") + inputs[0].shape[0] * inputs[0].shape[1]
        return TensorType(
            (tokens, inputs[0].shape[-1]), "int16" if self.dtype == "int16" else "int8"
        )

    def array_specs(self, node: Node, inputs: Sequence[TensorType]) -> tuple[ArraySpec, ...]:
        return position_specs(node, self.output_type(node, inputs).shape[0], self.dtype)

    def run_float(self, node: Node, params: Params, inputs: Sequence[Array]) -> Array:
        return embed_float(node, inputs[0].reshape(len(inputs[0]), -1, inputs[0].shape[-1]), params)

    def internals(self, node: Node, params: Params, inputs: Sequence[Array]) -> dict[str, Array]:
        return {node.output: params["position"]} if node.int_attr("positions") else {}

    def lower(self, node: Node, params: Params, context: LoweringContext) -> Lowered:
        source, target = context.of(node.inputs[0]), context.of(node.output)
        scalars = {
            "in_zero_point": source.zero_point,
            "multiplier": int(multiplier(source.scale / target.scale, node.name, 16)[0]),
            "zero_point": target.zero_point,
        }
        return Lowered(lower_position(node, params, target, self.dtype), scalars)

    def run_integer(self, node: Node, lowered: Lowered, inputs: Sequence[Array]) -> Array:
        x = inputs[0].astype(np.int64).reshape(len(inputs[0]), -1, inputs[0].shape[-1])
        centred = (x - lowered.scalars["in_zero_point"]) << 16
        values = multiply_high(centred, lowered.scalars["multiplier"])
        zero_point = lowered.scalars["zero_point"]
        return add_position(node, values, lowered.arrays, zero_point, self.dtype)

    def fields(
        self, node: Node, inputs: Sequence[TensorType], scalars: Mapping[str, int]
    ) -> tuple[Field, ...]:
        names = ["in_zero_point", "multiplier", "zero_point"]
        if self.dtype == "int16":
            names.remove("zero_point")
        return (
            Field("features", "int32_t", inputs[0].shape[-1]),
            Field("first", "int32_t", node.int_attr("first")),
            *(Field(name, "int32_t", scalars[name]) for name in names),
            position_field(node),
        )

    def call_arguments(
        self, node: Node, buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return buffers.inputs[0], buffers.output, str(types[0].shape[0] * types[0].shape[1])


class EmbedTokensS16(EmbedTokens):
    """The same into an int16 residual stream."""

    kernel: ClassVar[str] = "oplib_embed_tokens_s16"
    dtype: ClassVar[str] = "int16"


def embed_float(node: Node, x: Array, params: Params) -> Array:
    """Return float patches (B, n, D) behind the class token, positions added."""
    if not node.int_attr("positions"):
        return x
    first = np.zeros((len(x), node.int_attr("first"), x.shape[-1]), np.float32)
    result: Array = np.concatenate([first, x], axis=1) + params["position"]
    return result
