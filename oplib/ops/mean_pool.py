"""Mean pooling over tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from oplib.graph import Attributes, Node, TensorType
from oplib.ops.base import (
    Array,
    Buffers,
    Field,
    Lowered,
    LoweringContext,
    Operator,
    Params,
    Tensors,
    int32,
)
from oplib.ops.quant import multiplier, requantize
from oplib.ops.work import Work


@dataclass(frozen=True)
class MeanPoolAttributes(Attributes):
    """Attributes of mean pooling.

    Args:
        first: index of the first token of the mean; 1 leaves a class token out.
    """

    first: int = 0


class MeanPool(Operator[MeanPoolAttributes]):
    """``y[c] = mean over t >= first of x[t][c]``; (tokens, features) to (features,)."""

    family: ClassVar[str] = "mean_pool"
    kernel: ClassVar[str] = "oplib_mean_pool_s8"
    shift: ClassVar[int] = 8  # with few tokens the scale ratio may exceed 1/2

    def output_type(
        self, node: Node[MeanPoolAttributes], inputs: Sequence[TensorType]
    ) -> TensorType:
        return TensorType((inputs[0].shape[-1],))

    def work(
        self, node: Node[MeanPoolAttributes], tensors: Tensors, *, inside: bool = False
    ) -> Work:
        return Work(elements=tensors[node.inputs[0]].size)

    def run_float(
        self, node: Node[MeanPoolAttributes], params: Params, inputs: Sequence[Array]
    ) -> Array:
        mean: Array = inputs[0][:, node.attrs.first :].mean(axis=1, dtype=np.float32)
        return mean

    def lower(
        self, node: Node[MeanPoolAttributes], params: Params, context: LoweringContext
    ) -> Lowered:
        source, target = context.of(node.inputs[0]), context.of(node.output)
        tokens = context.inputs[0].shape[0] - node.attrs.first
        ratio = source.scale / (tokens * target.scale)
        scalars = {
            "in_zero_point": source.zero_point,
            "multiplier": int(multiplier(ratio, node.name, self.shift)[0]),
            "zero_point": target.zero_point,
        }
        return Lowered({}, scalars)

    def run_integer(
        self, node: Node[MeanPoolAttributes], lowered: Lowered, inputs: Sequence[Array]
    ) -> Array:
        x = inputs[0][:, node.attrs.first :].astype(np.int64)
        total = x.sum(axis=1) - x.shape[1] * lowered.scalars["in_zero_point"]
        factor, zero_point = lowered.scalars["multiplier"], lowered.scalars["zero_point"]
        return requantize(total << self.shift, factor, zero_point)

    def fields(
        self,
        node: Node[MeanPoolAttributes],
        inputs: Sequence[TensorType],
        scalars: Mapping[str, int],
    ) -> tuple[Field, ...]:
        names = ("in_zero_point", "multiplier", "zero_point")
        return (
            *int32(features=inputs[0].shape[-1], first=node.attrs.first),
            *int32(**{name: scalars[name] for name in names}),
        )

    def call_arguments(
        self, node: Node[MeanPoolAttributes], buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return buffers.inputs[0], buffers.output, str(types[0].shape[0])


class MeanPoolS16(MeanPool):
    """Mean pooling of an int16 stream; its fine scale needs no shift."""

    kernel: ClassVar[str] = "oplib_mean_pool_s16"
    shift: ClassVar[int] = 0

    def fields(
        self,
        node: Node[MeanPoolAttributes],
        inputs: Sequence[TensorType],
        scalars: Mapping[str, int],
    ) -> tuple[Field, ...]:
        parts = super().fields(node, inputs, scalars)
        return tuple(field for field in parts if field.name != "in_zero_point")
