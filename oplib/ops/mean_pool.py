"""The mean over tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from oplib.graph import Node, TensorType
from oplib.ops.base import Array, Buffers, Field, Lowered, LoweringContext, Operator, Params
from oplib.ops.quant import multiplier, requantize


def first_token(node: Node) -> int:
    """Return the first token that counts: 1 where a class token is left out."""
    return int(node.attrs.get("first", 0))


class MeanPool(Operator):
    """``y[c] = mean over t of x[t][c]``; (tokens, features) to (features,).

    The attribute ``first`` = 1 leaves a class token out.
    """

    kernel: ClassVar[str] = "oplib_mean_pool_s8"
    shift: ClassVar[int] = 8  # the mean of few tokens has a scale ratio near 1

    def output_type(self, node: Node, inputs: Sequence[TensorType]) -> TensorType:
        return TensorType((inputs[0].shape[-1],))

    def run_float(self, node: Node, params: Params, inputs: Sequence[Array]) -> Array:
        mean: Array = inputs[0][:, first_token(node) :].mean(axis=1, dtype=np.float32)
        return mean

    def lower(self, node: Node, params: Params, context: LoweringContext) -> Lowered:
        source, target = context.of(node.inputs[0]), context.of(node.output)
        tokens = context.inputs[0].shape[0] - first_token(node)
        ratio = source.scale / (tokens * target.scale)
        scalars = {
            "in_zero_point": source.zero_point,
            "multiplier": int(multiplier(ratio, node.name, self.shift)[0]),
            "zero_point": target.zero_point,
        }
        return Lowered({}, scalars)

    def run_integer(self, node: Node, lowered: Lowered, inputs: Sequence[Array]) -> Array:
        x = inputs[0][:, first_token(node) :].astype(np.int64)
        total = x.sum(axis=1) - x.shape[1] * lowered.scalars["in_zero_point"]
        factor, zero_point = lowered.scalars["multiplier"], lowered.scalars["zero_point"]
        return requantize(total << self.shift, factor, zero_point)

    def fields(
        self, node: Node, inputs: Sequence[TensorType], scalars: Mapping[str, int]
    ) -> tuple[Field, ...]:
        return (
            Field("features", "int32_t", inputs[0].shape[-1]),
            Field("first", "int32_t", first_token(node)),
            *(
                Field(name, "int32_t", scalars[name])
                for name in ("in_zero_point", "multiplier", "zero_point")
            ),
        )

    def call_arguments(
        self, node: Node, buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return buffers.inputs[0], buffers.output, str(types[0].shape[0])


class MeanPoolS16(MeanPool):
    """The same of an int16 stream, whose scale is so much finer that no shift is needed."""

    kernel: ClassVar[str] = "oplib_mean_pool_s16"
    shift: ClassVar[int] = 0

    def fields(
        self, node: Node, inputs: Sequence[TensorType], scalars: Mapping[str, int]
    ) -> tuple[Field, ...]:
        parts = super().fields(node, inputs, scalars)
        return tuple(field for field in parts if field.name != "in_zero_point")
