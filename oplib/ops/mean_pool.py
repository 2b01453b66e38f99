"""The mean over tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from oplib.graph import Node, TensorType
from oplib.operator import Array, Field, Lowered, LoweringContext, Operator, Params
from oplib.quant import multiplier, requantize

SHIFT = 8  # the mean of few tokens has a scale ratio near 1, beyond an unshifted multiplier


class MeanPool(Operator):
    """``y[c] = mean over t of x[t][c]``; (tokens, features) to (features,)."""

    kernel: ClassVar[str] = "oplib_mean_pool_s8"

    def output_type(self, node: Node, inputs: Sequence[TensorType]) -> TensorType:
        return TensorType((inputs[0].shape[-1],))

    def run_float(self, node: Node, params: Params, inputs: Sequence[Array]) -> Array:
        mean: Array = inputs[0].mean(axis=1, dtype=np.float32)
        return mean

    def lower(self, node: Node, params: Params, context: LoweringContext) -> Lowered:
        source, target = context.of(node.inputs[0]), context.of(node.output)
        ratio = source.scale / (context.inputs[0].shape[0] * target.scale)
        scalars = {
            "in_zero_point": source.zero_point,
            "multiplier": int(multiplier(ratio, node.name, SHIFT)[0]),
            "zero_point": target.zero_point,
        }
        return Lowered({}, scalars)

    def run_integer(self, node: Node, lowered: Lowered, inputs: Sequence[Array]) -> Array:
        tokens = inputs[0].shape[1]
        total = inputs[0].astype(np.int64).sum(axis=1) - tokens * lowered.scalars["in_zero_point"]
        factor, zero_point = lowered.scalars["multiplier"], lowered.scalars["zero_point"]
        return requantize(total << SHIFT, factor, zero_point)

    def fields(
        self, node: Node, inputs: Sequence[TensorType], scalars: Mapping[str, int]
    ) -> tuple[Field, ...]:
        return (
            Field("features", "int32_t", inputs[0].shape[-1]),
            *(
                Field(name, "int32_t", scalars[name])
                for name in ("in_zero_point", "multiplier", "zero_point")
            ),
        )

    def call_arguments(
        self, inputs: Sequence[str], output: str, scratch: str, tokens: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return inputs[0], output, str(tokens[0].shape[0])
