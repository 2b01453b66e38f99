"""What every operator tells: its shape rule, two references, its lowering and its C call."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy.typing as npt

from mcuformer.data.preprocessing import Preprocessing
from oplib.graph import ITEM_BYTES, Node, TensorType
from oplib.ops.quant import QuantParams

Array = npt.NDArray[Any]
Params = Mapping[str, Array]
Quant = Mapping[str, QuantParams]
CType = Literal["int32_t", "uint32_t", "uint64_t", "uint8_t[4]", "array", "struct", "part"]
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

    `value` is an integer, four bytes, the name of a constant array (or None), nested fields, or the
    index of the part whose own struct is pointed to (or None).
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


@dataclass(frozen=True)
class Span:
    """Bytes [start, stop) of a tensor: of the input with this index, or of the output (OUTPUT)."""

    tensor: int
    start: int
    stop: int


OUTPUT = -1


@dataclass(frozen=True)
class Touch:
    """One step of a kernel: what it reads and what it writes.

    Args:
        settled: everything is read before anything is written, or in place element by element.
        room: bytes used as working memory, besides the operator's own scratch.
    """

    reads: tuple[Span, ...]
    writes: tuple[Span, ...]
    settled: bool = True
    room: tuple[Span, ...] = ()


def whole(index: int, kind: TensorType) -> Span:
    """Return all bytes of a tensor."""
    return Span(index, 0, kind.num_bytes)


def rows_of(index: int, kind: TensorType, first: int, stop: int) -> Span:
    """Return the bytes of rows [first, stop) of a tensor."""
    stride = kind.num_bytes // kind.shape[0]
    return Span(index, first * stride, stop * stride)


class Operator:
    """One operator. `float` and integer references take a leading batch dimension; shapes do not.

    Attributes:
        kernel: the C function.
        params: the name of its parameter struct, where that is not the kernel's with ``_params``.
        helpers: further C functions that the kernel calls.
        keeps_scale: the output has the scale and zero point of the first input.
        in_place: indices of the inputs whose bytes the kernel allows the output to take over.
        symmetric_inputs: indices of the inputs that need zero point 0.
        fetches_image: the first input is handed over by the application, piece by piece.
    """

    kernel: ClassVar[str]
    params: ClassVar[str | None] = None
    helpers: ClassVar[tuple[str, ...]] = ()
    keeps_scale: ClassVar[bool] = False
    in_place: ClassVar[tuple[int, ...]] = ()
    symmetric_inputs: ClassVar[tuple[int, ...]] = ()
    fetches_image: ClassVar[bool] = False

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

    def can_overwrite(self, node: Node, source: TensorType, target: TensorType) -> bool:
        """Tell whether the output may take over an input named in `in_place`, of type `source`."""
        return source == target

    def touches(
        self, node: Node, inputs: Sequence[TensorType], output: TensorType
    ) -> Iterator[Touch]:
        """Yield what the kernel reads and writes, step by step.

        Here: all at once, or, in place, row by row.
        """
        every = tuple(whole(index, kind) for index, kind in enumerate(inputs))
        if node.overwrites is None:
            yield Touch(every, (whole(OUTPUT, output),), settled=False)
            return
        for t in range(output.shape[0]):
            reads = tuple(rows_of(index, kind, t, t + 1) for index, kind in enumerate(inputs))
            yield Touch(reads, (rows_of(OUTPUT, output, t, t + 1),))

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
