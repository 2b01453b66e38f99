"""GELU as a table of all 256 inputs, exact to the rounding of its output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from scipy.special import erf

from oplib.graph import Node, TensorType
from oplib.operator import Array, ArraySpec, Field, Lowered, LoweringContext, Operator, Params


def gelu(x: Array) -> Array:
    """Return ``x / 2 (1 + erf(x / sqrt 2))``, the exact form."""
    result: Array = 0.5 * x * (1.0 + erf(x / np.sqrt(2.0)))
    return result


class Gelu(Operator):
    """The Gaussian error linear unit, element by element."""

    kernel: ClassVar[str] = "oplib_gelu_s8"
    in_place: ClassVar[tuple[int, ...]] = (0,)

    def output_type(self, node: Node, inputs: Sequence[TensorType]) -> TensorType:
        return inputs[0]

    def array_specs(self, node: Node, inputs: Sequence[TensorType]) -> tuple[ArraySpec, ...]:
        return (ArraySpec("table", "int8", (256,)),)

    def run_float(self, node: Node, params: Params, inputs: Sequence[Array]) -> Array:
        return gelu(inputs[0]).astype(np.float32)

    def lower(self, node: Node, params: Params, context: LoweringContext) -> Lowered:
        source, target = context.of(node.inputs[0]), context.of(node.output)
        codes = np.arange(-128, 128, dtype=np.float64)
        real = gelu((codes - source.zero_point) * source.scale)
        return Lowered({"table": target.quantize(real)}, {})

    def run_integer(self, node: Node, lowered: Lowered, inputs: Sequence[Array]) -> Array:
        return lowered.arrays["table"][inputs[0].astype(np.int64) + 128]

    def fields(
        self, node: Node, inputs: Sequence[TensorType], scalars: Mapping[str, int]
    ) -> tuple[Field, ...]:
        return (Field("table", "array", "table"),)

    def call_arguments(
        self, inputs: Sequence[str], output: str, scratch: str, tokens: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return inputs[0], output, str(tokens[0].size)
