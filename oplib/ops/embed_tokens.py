"""Tokens of a convolutional tokenizer: add positions and class token, at the residual's scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from oplib.graph import Attributes, DType, Node, TensorType
from oplib.ops.base import (
    Array,
    ArrayRef,
    ArraySpec,
    Buffers,
    Field,
    Lowered,
    LoweringContext,
    Operator,
    Params,
    Tensors,
    int32,
)
from oplib.ops.quant import QuantParams, multiplier, multiply_high, saturate, saturate16
from oplib.ops.work import Work


@dataclass(frozen=True)
class EmbeddingAttributes(Attributes):
    """Attributes of the operators that make the first tokens.

    Args:
        out_features: width D of a token.
        first: index of the first patch's token: 1 after a class token, 0 without one.
        positions: whether positions, which include the class token, are added.
    """

    out_features: int
    first: int = 0
    positions: bool = True


def position_specs(attrs: EmbeddingAttributes, tokens: int, dtype: DType) -> tuple[ArraySpec, ...]:
    """Return the array of positions and class token, (tokens, D), where the network has one."""
    if not attrs.positions:
        return ()
    shape = (tokens, attrs.out_features)
    return (ArraySpec("position", "int16" if dtype == "int16" else "int8", shape),)


def lower_position(
    attrs: EmbeddingAttributes, params: Params, target: QuantParams, dtype: DType
) -> dict[str, Array]:
    """Quantise positions and class token at the output's scale, with zero point 0."""
    if not attrs.positions:
        return {}
    codes = np.rint(params["position"].astype(np.float64) / target.scale)
    return {"position": saturate16(codes) if dtype == "int16" else saturate(codes)}


def position_field(attrs: EmbeddingAttributes) -> Field:
    """Return the member that points to the positions, null without any."""
    return ArrayRef("position", "position" if attrs.positions else None)


def add_position(
    attrs: EmbeddingAttributes,
    values: Array,
    arrays: Mapping[str, Array],
    zero_point: int,
    dtype: DType,
) -> Array:
    """Add positions to values (B, n, D), put the class token first and saturate.

    Args:
        attrs: attributes of the node.
        values: int64 patches at the output's scale, without zero point.
        arrays: lowered arrays of the node.
        zero_point: zero point of the output.
        dtype: type of the output.
    """
    clip = saturate16 if dtype == "int16" else saturate
    if not attrs.positions:
        return clip(values + zero_point)
    first = np.zeros((len(values), attrs.first, values.shape[-1]), np.int64)
    tokens = np.concatenate([first, values], axis=1)
    return clip(tokens + zero_point + arrays["position"].astype(np.int64))


class EmbedTokens(Operator[EmbeddingAttributes]):
    """``y = x + position``, class token first; int8 (size, size, D) to (first + size^2, D)."""

    family: ClassVar[str] = "embed_tokens"
    kernel: ClassVar[str] = "oplib_embed_tokens_s8"
    dtype: ClassVar[DType] = "int8"

    def output_type(
        self, node: Node[EmbeddingAttributes], inputs: Sequence[TensorType]
    ) -> TensorType:
        tokens = node.attrs.first + inputs[0].shape[0] * inputs[0].shape[1]
        return TensorType((tokens, inputs[0].shape[-1]), self.dtype)

    def array_specs(
        self, node: Node[EmbeddingAttributes], inputs: Sequence[TensorType]
    ) -> tuple[ArraySpec, ...]:
        return position_specs(node.attrs, self.output_type(node, inputs).shape[0], self.dtype)

    def work(
        self, node: Node[EmbeddingAttributes], tensors: Tensors, *, inside: bool = False
    ) -> Work:
        source = tensors[node.inputs[0]]
        constants = sum(spec.num_bytes for spec in self.array_specs(node, (source,)))
        return Work(elements=source.size, bytes_read=constants)

    def run_float(
        self, node: Node[EmbeddingAttributes], params: Params, inputs: Sequence[Array]
    ) -> Array:
        return embed_float(
            node.attrs, inputs[0].reshape(len(inputs[0]), -1, inputs[0].shape[-1]), params
        )

    def internals(
        self, node: Node[EmbeddingAttributes], params: Params, inputs: Sequence[Array]
    ) -> dict[str, Array]:
        return {node.output: params["position"]} if node.attrs.positions else {}

    def lower(
        self, node: Node[EmbeddingAttributes], params: Params, context: LoweringContext
    ) -> Lowered:
        source, target = context.of(node.inputs[0]), context.of(node.output)
        scalars = {
            "in_zero_point": source.zero_point,
            "multiplier": int(multiplier(source.scale / target.scale, node.name, 16)[0]),
            "zero_point": target.zero_point,
        }
        return Lowered(lower_position(node.attrs, params, target, self.dtype), scalars)

    def run_integer(
        self, node: Node[EmbeddingAttributes], lowered: Lowered, inputs: Sequence[Array]
    ) -> Array:
        x = inputs[0].astype(np.int64).reshape(len(inputs[0]), -1, inputs[0].shape[-1])
        centred = (x - lowered.scalars["in_zero_point"]) << 16
        values = multiply_high(centred, lowered.scalars["multiplier"])
        zero_point = lowered.scalars["zero_point"]
        return add_position(node.attrs, values, lowered.arrays, zero_point, self.dtype)

    def fields(
        self,
        node: Node[EmbeddingAttributes],
        inputs: Sequence[TensorType],
        scalars: Mapping[str, int],
    ) -> tuple[Field, ...]:
        names = ["in_zero_point", "multiplier", "zero_point"]
        if self.dtype == "int16":
            names.remove("zero_point")
        return (
            *int32(features=inputs[0].shape[-1], first=node.attrs.first),
            *int32(**{name: scalars[name] for name in names}),
            position_field(node.attrs),
        )

    def call_arguments(
        self, node: Node[EmbeddingAttributes], buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        count = types[0].shape[0] * types[0].shape[1]
        return buffers.inputs[0], buffers.output, "0", str(count)


class EmbedTokensS16(EmbedTokens):
    """Token embedding into an int16 residual stream."""

    kernel: ClassVar[str] = "oplib_embed_tokens_s16"
    dtype: ClassVar[DType] = "int16"


def embed_float(attrs: EmbeddingAttributes, x: Array, params: Params) -> Array:
    """Return float patches (B, n, D) with the class token first and positions added."""
    if not attrs.positions:
        return x
    first = np.zeros((len(x), attrs.first, x.shape[-1]), np.float32)
    result: Array = np.concatenate([first, x], axis=1) + params["position"]
    return result
