"""The interface of an operator: shape rule, references, lowering, memory, work and C call."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal

import numpy.typing as npt
from typing_extensions import TypeVar

from mcuformer.data.preprocessing import Preprocessing
from oplib.graph import ITEM_BYTES, Attributes, Node, TensorType
from oplib.ops.quant import QuantParams
from oplib.ops.work import Work

Array = npt.NDArray[Any]
Params = Mapping[str, Array]
Quant = Mapping[str, QuantParams]
Tensors = Mapping[str, TensorType]
AttributesT = TypeVar("AttributesT", bound=Attributes, default=Attributes)
Epilogue = Literal["table", "add"]
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
class Scalar:
    """An integer member of a C parameter struct."""

    name: str
    ctype: Literal["int32_t", "uint32_t", "uint64_t"]
    value: int


@dataclass(frozen=True)
class Bytes4:
    """A member of type ``uint8_t[4]``."""

    name: str
    values: tuple[int, int, int, int]


@dataclass(frozen=True)
class ArrayRef:
    """A pointer to a constant array in flash.

    Args:
        name: of the member.
        array: name of the array, or None for a null pointer.
        owner: name of the node that owns the array, where it is not the struct's own node.
    """

    name: str
    array: str | None
    owner: str | None = None


@dataclass(frozen=True)
class PartRef:
    """A pointer to the parameter struct of one of the node's parts.

    Args:
        name: of the member.
        role: of the part, or None for a null pointer.
    """

    name: str
    role: str | None


@dataclass(frozen=True)
class Nested:
    """A struct inside the struct."""

    name: str
    fields: tuple[Field, ...]


Field = Scalar | Bytes4 | ArrayRef | PartRef | Nested


def int32(**values: int) -> tuple[Scalar, ...]:
    """Return members of type ``int32_t``, in the order given."""
    return tuple(Scalar(name, "int32_t", value) for name, value in values.items())


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


class Operator(Generic[AttributesT]):
    """One operator: everything that any other module needs to know of it.

    The references take tensors with a leading batch dimension; shapes have none. What an operator
    does not say has no default elsewhere: a missing method is an error, not another operator's.

    Attributes:
        family: the float function that it shares with its other forms, for instance ``gelu``; torch
            and ONNX forms are registered by it.
        kernel: the C function.
        params: the name of its parameter struct, where that is not the kernel's with ``_params``.
        helpers: further C functions that the kernel calls.
        keeps_scale: the output has the scale and zero point of the first input.
        in_place: indices of the inputs whose bytes the kernel allows the output to take over.
        symmetric_inputs: indices of the inputs that need zero point 0.
        fetches_image: the application hands over the first input, piece by piece.
        reads_image: the operator makes tokens, or feature maps, of the image.
        epilogue: how the layer before may do this operator's work in its own epilogue; None where
            it cannot.
        streamable: a block's streamed kernel can compute it, tile by tile.
        scales_channels: weight and bias belong to output channels, so that a channel can be scaled.
        weighs_channels: a matrix multiplies the channels of the input.
    """

    family: ClassVar[str]
    kernel: ClassVar[str]
    params: ClassVar[str | None] = None
    helpers: ClassVar[tuple[str, ...]] = ()
    keeps_scale: ClassVar[bool] = False
    in_place: ClassVar[tuple[int, ...]] = ()
    symmetric_inputs: ClassVar[tuple[int, ...]] = ()
    fetches_image: ClassVar[bool] = False
    reads_image: ClassVar[bool] = False
    epilogue: ClassVar[Epilogue | None] = None
    streamable: ClassVar[bool] = False
    scales_channels: ClassVar[bool] = False
    weighs_channels: ClassVar[bool] = False

    def output_type(self, node: Node[AttributesT], inputs: Sequence[TensorType]) -> TensorType:
        """Return the output's shape and type."""
        raise NotImplementedError

    # -- memory ----------------------------------------------------------------------------------

    def array_specs(
        self, node: Node[AttributesT], inputs: Sequence[TensorType]
    ) -> tuple[ArraySpec, ...]:
        """Return the constant arrays in flash, as the kernel reads them."""
        return ()

    def scratch_parts(
        self, node: Node[AttributesT], inputs: Sequence[TensorType]
    ) -> Mapping[str, int]:
        """Return the bytes of working memory that the kernel needs, by content, in order."""
        return {}

    def scratch_bytes(self, node: Node[AttributesT], inputs: Sequence[TensorType]) -> int:
        """Return the bytes of all working memory; every part begins aligned."""
        return sum(align(size) for size in self.scratch_parts(node, inputs).values())

    def can_overwrite(
        self, node: Node[AttributesT], source: TensorType, target: TensorType
    ) -> bool:
        """Return whether the output may take over an input (of `in_place`) of type `source`."""
        return source == target

    def touches(
        self, node: Node[AttributesT], inputs: Sequence[TensorType], output: TensorType
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

    def work(self, node: Node[AttributesT], tensors: Tensors, *, inside: bool = False) -> Work:
        """Return the modelled work of a call.

        Args:
            tensors: type of every tensor of the graph.
            inside: as a part of a larger call, whose tile holds the inputs already.
        """
        raise NotImplementedError

    # -- numbers ---------------------------------------------------------------------------------

    def run_float(self, node: Node[AttributesT], params: Params, inputs: Sequence[Array]) -> Array:
        """Compute the output in float32 (the float reference)."""
        raise NotImplementedError

    def internals(
        self, node: Node[AttributesT], params: Params, inputs: Sequence[Array]
    ) -> dict[str, Array]:
        """Return further float values whose range lowering needs, by tensor name.

        Under the output's name they widen its range; any other name is a value inside.
        """
        return {}

    def lower(self, node: Node[AttributesT], params: Params, context: LoweringContext) -> Lowered:
        """Turn float parameters and ranges into the integers of SPEC.md."""
        raise NotImplementedError

    def output_quant(
        self, node: Node[AttributesT], params: Params, context: LoweringContext
    ) -> QuantParams | None:
        """Return the output's scale where lowering chooses it itself, else None."""
        return None

    def flash_arrays(self, node: Node[AttributesT], lowered: Lowered) -> Mapping[str, Array]:
        """Return the arrays of :meth:`array_specs`: the lowered ones in the kernel's layout."""
        return lowered.arrays

    def run_integer(
        self, node: Node[AttributesT], lowered: Lowered, inputs: Sequence[Array]
    ) -> Array:
        """Compute the output in integers (the reference that C must equal)."""
        raise NotImplementedError

    # -- the call in C ---------------------------------------------------------------------------

    def fields(
        self,
        node: Node[AttributesT],
        inputs: Sequence[TensorType],
        scalars: Mapping[str, int],
    ) -> tuple[Field, ...]:
        """Return the members of the C parameter struct, in the header's order."""
        raise NotImplementedError

    def call_arguments(
        self, node: Node[AttributesT], buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        """Return the C arguments before the parameter struct.

        Args:
            types: of the inputs, for counts.
        """
        raise NotImplementedError

    # -- rewrites of the graph -------------------------------------------------------------------

    def with_epilogue(self, node: Node[AttributesT], epilogue: Epilogue) -> str | None:
        """Return the operator that also does the next one's work, or None if there is none."""
        return None

    def untiled(self, node: Node[AttributesT]) -> Node[AttributesT]:
        """Return the node in its form without a tile: less memory, more instructions."""
        return node

    def in_passes(self, node: Node[AttributesT], kernel: int) -> Node[AttributesT]:
        """Return the node decomposed into passes of ``kernel`` x ``kernel``, where it can be.

        Raises:
            LoweringError: the passes do not divide it.
        """
        return node

    def in_strips(self, node: Node[AttributesT]) -> Node[AttributesT] | None:
        """Return the node reading an image that is handed over in strips, or None."""
        return None

    def over_image(
        self, node: Node[AttributesT], inputs: Sequence[TensorType]
    ) -> Node[AttributesT] | None:
        """Return the node writing its output over the image that it reads, or None."""
        return None
