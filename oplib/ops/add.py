"""The residual addition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from mcuformer.errors import LoweringError
from oplib.graph import Node, TensorType
from oplib.ops.base import (
    Array,
    Buffers,
    Epilogue,
    Field,
    Lowered,
    LoweringContext,
    Operator,
    Params,
    Tensors,
    int32,
)
from oplib.ops.quant import multiplier, saturate, saturate16
from oplib.ops.work import Work

# Both products, rounding and zero point fit 32 bits: (2 * 255 + 2) 2^21 + 2^15 + 2^23 < 2^31.
MAX_MULTIPLIER = 2**21


class Add(Operator):
    """``y = a + b``, each tensor at its own scale; the output may take over either input."""

    family: ClassVar[str] = "add"
    kernel: ClassVar[str] = "oplib_add_s8"
    in_place: ClassVar[tuple[int, ...]] = (0, 1)
    epilogue: ClassVar[Epilogue | None] = "add"
    streamable: ClassVar[bool] = True
    panel_kernel: ClassVar[str | None] = "oplib_tile_linear_add_s8"

    def output_type(self, node: Node, inputs: Sequence[TensorType]) -> TensorType:
        return inputs[0]

    def work(self, node: Node, tensors: Tensors, *, inside: bool = False) -> Work:
        size = tensors[node.inputs[0]].size
        return Work(epilogue_elements=size) if inside else Work(elements=size)

    def run_float(self, node: Node, params: Params, inputs: Sequence[Array]) -> Array:
        result: Array = inputs[0] + inputs[1]
        return result

    def lower(self, node: Node, params: Params, context: LoweringContext) -> Lowered:
        target = context.of(node.output)
        scalars = {"zero_point": target.zero_point}
        for letter, name in zip("ab", node.inputs, strict=True):
            source = context.of(name)
            factor = round(source.scale / target.scale * 2**16)
            if factor > MAX_MULTIPLIER:
                raise LoweringError(
                    "output scale too fine for the addend",
                    where=node.name,
                    got=f"scale ratio {source.scale / target.scale:.4g}",
                    expected="at most 32",
                )
            scalars |= {f"{letter}_multiplier": factor, f"{letter}_zero_point": source.zero_point}
        return Lowered({}, scalars)

    def run_integer(self, node: Node, lowered: Lowered, inputs: Sequence[Array]) -> Array:
        total = np.full(inputs[0].shape, 1 << 15, dtype=np.int64)
        for letter, x in zip("ab", inputs, strict=True):
            centred = x.astype(np.int64) - lowered.scalars[f"{letter}_zero_point"]
            total += centred * lowered.scalars[f"{letter}_multiplier"]
        return saturate((total >> 16) + lowered.scalars["zero_point"])

    def fields(
        self, node: Node, inputs: Sequence[TensorType], scalars: Mapping[str, int]
    ) -> tuple[Field, ...]:
        names = ("a_zero_point", "a_multiplier", "b_zero_point", "b_multiplier", "zero_point")
        return int32(**{name: scalars[name] for name in names})

    def call_arguments(
        self, node: Node, buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return *buffers.inputs, buffers.output, str(types[0].size)


class AddS16(Add):
    """The addition of an int8 branch to an int16 residual stream, in 64 bits."""

    kernel: ClassVar[str] = "oplib_add_s16"
    in_place: ClassVar[tuple[int, ...]] = (0,)
    epilogue: ClassVar[Epilogue | None] = None
    panel_kernel: ClassVar[str | None] = "oplib_tile_linear_add_s16"

    def lower(self, node: Node, params: Params, context: LoweringContext) -> Lowered:
        stream, branch = (context.of(name) for name in node.inputs)
        target = context.of(node.output)
        scalars = {
            "a_multiplier": int(multiplier(stream.scale / target.scale, node.name, 8)[0]),
            "b_zero_point": branch.zero_point,
            "b_multiplier": int(multiplier(branch.scale / target.scale, node.name, 16)[0]),
        }
        return Lowered({}, scalars)

    def run_integer(self, node: Node, lowered: Lowered, inputs: Sequence[Array]) -> Array:
        stream, branch = (x.astype(np.int64) for x in inputs)
        centred = branch - lowered.scalars["b_zero_point"]
        # A multiplier with 32 - k fraction bits takes its operand shifted left by k, so that both
        # products have 32 fraction bits.
        total = (stream << 8) * lowered.scalars["a_multiplier"]
        total += (centred << 16) * lowered.scalars["b_multiplier"]
        return saturate16((total + (1 << 31)) >> 32)

    def fields(
        self, node: Node, inputs: Sequence[TensorType], scalars: Mapping[str, int]
    ) -> tuple[Field, ...]:
        names = ("a_multiplier", "b_zero_point", "b_multiplier")
        return int32(**{name: scalars[name] for name in names})
