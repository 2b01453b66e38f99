"""What every operator tells: its shape rule, two references, its lowering and its C call."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy.typing as npt

from mcuformer.data import Preprocessing
from oplib.graph import ITEM_BYTES, Node, TensorType
from oplib.quant import QuantParams

Array = npt.NDArray[Any]
Params = Mapping[str, Array]
Quant = Mapping[str, QuantParams]
CType = Literal["int32_t", "uint32_t", "uint64_t", "uint8_t[4]", "array", "struct"]
ALIGNMENT = 8


def align(num_bytes: int) -> int:
    """Round a byte count up to the alignment of arena tensors and weight arrays."""
    return -(-num_bytes // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class ArraySpec:
    """A constant array in flash: what its size is before its numbers are known."""

    name: str
    dtype: Literal["int8", "uint8", "int16", "uint16", "int32"]
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes in flash, alignment included."""
        return align(math.prod(self.shape) * ITEM_BYTES[self.dtype])


@dataclass(frozen=True)
class Field:
    """A member of an operator's C parameter struct, in the header's order.

    `value` is an integer, four bytes, the name of a constant array (or None), or nested fields.
    """

    name: str
    ctype: CType
    value: Any


@dataclass(frozen=True)
class Lowered:
    """An operator's integers: arrays in flash and scalars in its parameter struct."""

    arrays: dict[str, Array]
    scalars: dict[str, int]


@dataclass(frozen=True)
class LoweringContext:
    """What lowering may ask for besides the node itself."""

    inputs: tuple[TensorType, ...]
    quant: Quant
    preprocessing: Preprocessing
    means: Mapping[str, Array] = field(default_factory=dict)

    def of(self, tensor: str) -> QuantParams:
        """Return the quantisation of a tensor."""
        return self.quant[tensor]


@dataclass(frozen=True)
class Buffers:
    """C expressions of a call's buffers."""

    inputs: tuple[str, ...]
    output: str
    scratch: str


class Operator:
    """One operator. `float` and integer references take a leading batch dimension; shapes do not.

    Attributes:
        kernel: the C function.
        params: the name of its parameter struct, where that is not the kernel's with ``_params``.
        helpers: further C functions that the kernel calls.
        keeps_scale: the output has the scale and zero point of the first input.
        in_place: indices of the inputs whose bytes the kernel allows the output to take over.
        symmetric_inputs: indices of the inputs that need zero point 0.
    """

    kernel: ClassVar[str]
    params: ClassVar[str | None] = None
    helpers: ClassVar[tuple[str, ...]] = ()
    keeps_scale: ClassVar[bool] = False
    in_place: ClassVar[tuple[int, ...]] = ()
    symmetric_inputs: ClassVar[tuple[int, ...]] = ()

    def output_type(self, node: Node, inputs: Sequence[TensorType]) -> TensorType:
        """Return the output's shape and type."""
        raise NotImplementedError

    def array_specs(self, node: Node, inputs: Sequence[TensorType]) -> tuple[ArraySpec, ...]:
        """Return the constant arrays the operator puts into flash, as the kernel reads them."""
        return ()

    def flash_arrays(self, node: Node, lowered: Lowered) -> Mapping[str, Array]:
        """Return the arrays of :meth:`array_specs`: the lowered ones in the kernel's layout."""
        return lowered.arrays

    def scratch_parts(self, node: Node, inputs: Sequence[TensorType]) -> Mapping[str, int]:
        """Return the bytes of working memory the kernel needs, by what they hold, in order."""
        return {}

    def scratch_bytes(self, node: Node, inputs: Sequence[TensorType]) -> int:
        """Return the bytes of all working memory; every part begins aligned."""
        return sum(align(size) for size in self.scratch_parts(node, inputs).values())

    def run_float(self, node: Node, params: Params, inputs: Sequence[Array]) -> Array:
        """Compute the output in float32 (the float reference)."""
        raise NotImplementedError

    def internals(self, node: Node, params: Params, inputs: Sequence[Array]) -> dict[str, Array]:
        """Return further float values whose range lowering needs, by tensor name.

        Under the output's name they widen its range; any other name is a value inside.
        """
        return {}

    def lower(self, node: Node, params: Params, context: LoweringContext) -> Lowered:
        """Turn float parameters and ranges into the integers of SPEC.md."""
        raise NotImplementedError

    def run_integer(self, node: Node, lowered: Lowered, inputs: Sequence[Array]) -> Array:
        """Compute the output in integers (the reference that C must equal)."""
        raise NotImplementedError

    def fields(
        self, node: Node, inputs: Sequence[TensorType], scalars: Mapping[str, int]
    ) -> tuple[Field, ...]:
        """Return the members of the C parameter struct."""
        raise NotImplementedError

    def call_arguments(
        self, node: Node, buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        """Return the C arguments before the parameter struct.

        Args:
            types: of the inputs, for counts.
        """
        raise NotImplementedError
