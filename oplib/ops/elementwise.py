"""Functions of one int8 value, looked up in a table of all 256 codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from oplib.graph import Node, TensorType
from oplib.ops.base import (
    Array,
    ArrayRef,
    ArraySpec,
    Buffers,
    Epilogue,
    Field,
    Lowered,
    LoweringContext,
    Operator,
    Params,
    Tensors,
)
from oplib.ops.work import Work

TABLE_BYTES = 256


class Elementwise(Operator):
    """A function of one real number; a subclass defines it (:meth:`real`) and names its family.

    The table holds the exact function rounded to the output's codes, so that the output's rounding
    is the only error. It runs as a call of its own, in the epilogue of the linear layer before, or
    inside a streamed block; a new function needs no further code.
    """

    kernel: ClassVar[str] = "oplib_table_s8"
    in_place: ClassVar[tuple[int, ...]] = (0,)
    epilogue: ClassVar[Epilogue | None] = "table"
    streamable: ClassVar[bool] = True

    def real(self, x: Array) -> Array:
        """Return the function of real numbers, any shape, in the precision of `x`."""
        raise NotImplementedError

    def output_type(self, node: Node, inputs: Sequence[TensorType]) -> TensorType:
        return inputs[0]

    def array_specs(self, node: Node, inputs: Sequence[TensorType]) -> tuple[ArraySpec, ...]:
        return (ArraySpec("table", "int8", (TABLE_BYTES,)),)

    def work(self, node: Node, tensors: Tensors, *, inside: bool = False) -> Work:
        source = tensors[node.inputs[0]]
        joined = inside and self.epilogue is not None
        work = Work(epilogue_elements=source.size) if joined else Work(elements=source.size)
        constants = sum(spec.num_bytes for spec in self.array_specs(node, (source,)))
        return work + Work(bytes_read=constants)

    def run_float(self, node: Node, params: Params, inputs: Sequence[Array]) -> Array:
        return self.real(inputs[0]).astype(np.float32)

    def lower(self, node: Node, params: Params, context: LoweringContext) -> Lowered:
        source, target = context.of(node.inputs[0]), context.of(node.output)
        codes = np.arange(-128, 128, dtype=np.float64)
        real = self.real((codes - source.zero_point) * source.scale)
        return Lowered({"table": target.quantize(real)}, {})

    def run_integer(self, node: Node, lowered: Lowered, inputs: Sequence[Array]) -> Array:
        return lowered.arrays["table"][inputs[0].astype(np.int64) + 128]

    def fields(
        self, node: Node, inputs: Sequence[TensorType], scalars: Mapping[str, int]
    ) -> tuple[Field, ...]:
        return (ArrayRef("table", "table"),)

    def call_arguments(
        self, node: Node, buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return buffers.inputs[0], buffers.output, str(types[0].size)
