"""Selection of the class token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from oplib.graph import Node, TensorType
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
from oplib.ops.work import Work


class TakeToken(Operator):
    """The first of int8 or int16 tokens, unchanged; (tokens, features) to (features,)."""

    family: ClassVar[str] = "take_token"
    kernel: ClassVar[str] = "oplib_take_token"
    keeps_scale: ClassVar[bool] = True

    def output_type(self, node: Node, inputs: Sequence[TensorType]) -> TensorType:
        return TensorType((inputs[0].shape[-1],), inputs[0].dtype)

    def work(self, node: Node, tensors: Tensors, *, inside: bool = False) -> Work:
        return Work(elements=tensors[node.inputs[0]].size)

    def run_float(self, node: Node, params: Params, inputs: Sequence[Array]) -> Array:
        return inputs[0][:, 0]

    def lower(self, node: Node, params: Params, context: LoweringContext) -> Lowered:
        return Lowered({}, {})

    def run_integer(self, node: Node, lowered: Lowered, inputs: Sequence[Array]) -> Array:
        return inputs[0][:, 0]

    def fields(
        self, node: Node, inputs: Sequence[TensorType], scalars: Mapping[str, int]
    ) -> tuple[Field, ...]:
        width = TensorType((inputs[0].shape[-1],), inputs[0].dtype).num_bytes
        return int32(num_bytes=width)

    def call_arguments(
        self, node: Node, buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return f"(const int8_t *){buffers.inputs[0]}", f"(int8_t *){buffers.output}"
