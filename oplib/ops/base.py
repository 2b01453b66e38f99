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
SUPPLIED_ROWS = "&context->image"  # in C: the application's rows, and the progress with them


def align(num_bytes: int) -> int:
    """Round a byte count up to the alignment of arena tensors and weight arrays."""
    return -(-num_bytes // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class ArraySpec:
    """Name, type and shape of a constant array in flash; known before its numbers are."""

    name: str
    dtype: Literal["int8", "uint8", "int16", "uint16", "int32"]
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes in flash, with the padding to the alignment."""
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
        name: name of the member.
        array: name of the array; None for a null pointer.
        owner: name of the node that owns the array; None for the struct's own node.
    """

    name: str
    array: str | None
    owner: str | None = None


@dataclass(frozen=True)
class PartRef:
    """A pointer to the parameter struct of one of the node's parts.

    Args:
        name: name of the member.
        role: role of the part; None for a null pointer.
        member: member of that struct to point to; empty for the struct itself.
    """

    name: str
    role: str | None
    member: str = ""


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
    """A node's integers: arrays in flash and scalars in its parameter struct."""

    arrays: dict[str, Array]
    scalars: dict[str, int]


@dataclass(frozen=True)
class LoweringContext:
    """Information that lowering needs besides the node itself.

    Args:
        inputs: types of the node's inputs.
        quant: scale and zero point of every tensor.
        preprocessing: how raw pixels are normalised; folded into the first layer.
        means: mean of each channel of a tensor, for the tensors whose readers correct their biases.
    """

    inputs: tuple[TensorType, ...]
    quant: Quant
    preprocessing: Preprocessing
    means: Mapping[str, Array] = field(default_factory=dict)

    def of(self, tensor: str) -> QuantParams:
        """Return the quantisation of a tensor."""
        return self.quant[tensor]


@dataclass(frozen=True)
class Buffers:
    """The C expressions that address a call's buffers."""

    inputs: tuple[str, ...]
    output: str
    scratch: str


@dataclass(frozen=True)
class Span:
    """Bytes [start, stop) of an input, by its index in `tensor`, or of the output (OUTPUT)."""

    tensor: int
    start: int
    stop: int


OUTPUT = -1


@dataclass(frozen=True)
class Touch:
    """One step of a kernel: the bytes it reads and the bytes it writes.

    Args:
        reads: bytes that must still hold their tensor.
        writes: bytes that hold the output from then on.
        settled: whether writes may overlap reads: all reads come first, or each element is written
            where it was read.
        room: bytes of tensors used as working memory, besides the operator's own scratch.
    """

    reads: tuple[Span, ...]
    writes: tuple[Span, ...]
    settled: bool = True
    room: tuple[Span, ...] = ()


def whole(index: int, tensor_type: TensorType) -> Span:
    """Return all bytes of a tensor."""
    return Span(index, 0, tensor_type.num_bytes)


def rows_of(index: int, tensor_type: TensorType, first: int, stop: int) -> Span:
    """Return the bytes of rows [first, stop) of a tensor."""
    stride = tensor_type.num_bytes // tensor_type.shape[0]
    return Span(index, first * stride, stop * stride)


class Operator(Generic[AttributesT]):
    """Everything that the other modules know about one operator.

    The references take tensors with a leading batch dimension; shapes have none. No other module
    holds a default for an operator: a method that is needed and missing raises NotImplementedError.

    Attributes:
        family: the float function that an operator shares with its other forms, for instance
            ``gelu``; torch and ONNX forms are registered by family.
        kernel: name of the C function.
        params: name of its parameter struct; None for the kernel's name with ``_params``.
        helpers: names of further C functions that the kernel calls.
        keeps_scale: whether the output has the scale and zero point of the first input.
        in_place: indices of the inputs whose bytes the kernel allows the output to take over.
        symmetric_inputs: indices of the inputs that need zero point 0.
        fetches_image: whether the application supplies the first input piece by piece.
        reads_image: whether the operator turns the image into tokens or feature maps.
        epilogue: how the layer before may do this operator's work in its own epilogue; None where
            it cannot.
        streamable: whether a block's streamed kernel can compute it, tile by tile.
        panel_kernel: name of the C function that a block calls for it by a pointer; None where the
            block knows the function, or the layer before does the work.
        scales_channels: whether weight and bias belong to output channels, so that each channel can
            be scaled.
        weighs_channels: whether a matrix multiplies the channels of the input.
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
    panel_kernel: ClassVar[str | None] = None
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
        """Return the bytes of each part of the kernel's working memory, by content, in order."""
        return {}

    def scratch_bytes(self, node: Node[AttributesT], inputs: Sequence[TensorType]) -> int:
        """Return the bytes of the whole working memory; every part begins aligned."""
        return sum(align(size) for size in self.scratch_parts(node, inputs).values())

    def can_overwrite(
        self, node: Node[AttributesT], source: TensorType, target: TensorType
    ) -> bool:
        """Return whether an output of type `target` may take over an input of type `source`.

        Only the inputs in `in_place` are asked about.
        """
        return source == target

    def touches(
        self, node: Node[AttributesT], inputs: Sequence[TensorType], output: TensorType
    ) -> Iterator[Touch]:
        """Yield what the kernel reads and writes, step by step.

        By default everything in one step, or row by row where the output takes over an input.
        """
        if node.overwrites is None:
            every = tuple(whole(index, source) for index, source in enumerate(inputs))
            yield Touch(every, (whole(OUTPUT, output),), settled=False)
            return
        for t in range(output.shape[0]):
            reads = tuple(rows_of(index, source, t, t + 1) for index, source in enumerate(inputs))
            yield Touch(reads, (rows_of(OUTPUT, output, t, t + 1),))

    def work(self, node: Node[AttributesT], tensors: Tensors, *, inside: bool = False) -> Work:
        """Return the modelled work of a call.

        Args:
            node: the call.
            tensors: type of every tensor of the graph.
            inside: whether the node is part of a larger call, whose tile already holds the inputs.
        """
        raise NotImplementedError

    def panel_sizes(self, node: Node[AttributesT], inputs: Sequence[TensorType]) -> tuple[int, ...]:
        """Return the numbers of tokens that one pass over the weights may serve, from the least.

        Empty for an operator without such a choice. More tokens need more scratch and read the
        weights fewer times.
        """
        return ()

    def with_panel(
        self, node: Node[AttributesT], inputs: Sequence[TensorType], panel: int
    ) -> Node[AttributesT]:
        """Return the node with one of its panel sizes."""
        raise NotImplementedError

    def settings(self, node: Node[AttributesT]) -> Mapping[str, int]:
        """Return the choices of the planner that the node holds, by name, for people."""
        return {}

    # -- numbers ---------------------------------------------------------------------------------

    def run_float(self, node: Node[AttributesT], params: Params, inputs: Sequence[Array]) -> Array:
        """Return the output in float32: the float reference."""
        raise NotImplementedError

    def internals(
        self, node: Node[AttributesT], params: Params, inputs: Sequence[Array]
    ) -> dict[str, Array]:
        """Return further float values whose range lowering needs, by name.

        Values under a tensor's name widen the range of that tensor; any other name is that of an
        intermediate inside the operator.
        """
        return {}

    def lower(self, node: Node[AttributesT], params: Params, context: LoweringContext) -> Lowered:
        """Turn float parameters into the integers of SPEC.md.

        Raises:
            LoweringError: naming the node whose numbers the integers cannot hold.
        """
        raise NotImplementedError

    def output_quant(
        self, node: Node[AttributesT], params: Params, context: LoweringContext
    ) -> QuantParams | None:
        """Return the output's scale where the operator chooses it, None where calibration does."""
        return None

    def finest_scale(
        self, node: Node[AttributesT], params: Params, context: LoweringContext
    ) -> float:
        """Return the finest scale of the output that the integers can express; 0 if any."""
        return 0.0

    def flash_arrays(self, node: Node[AttributesT], lowered: Lowered) -> Mapping[str, Array]:
        """Return the lowered arrays in the kernel's layout, as :meth:`array_specs` describes."""
        return lowered.arrays

    def run_integer(
        self, node: Node[AttributesT], lowered: Lowered, inputs: Sequence[Array]
    ) -> Array:
        """Return the output in integers: the reference that C must equal."""
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
            node: the call.
            buffers: C expressions of inputs, output and scratch.
            types: types of the inputs, for counts.
        """
        raise NotImplementedError

    # -- rewrites of the graph -------------------------------------------------------------------

    def with_epilogue(self, node: Node[AttributesT], epilogue: Epilogue) -> str | None:
        """Return the key of the operator that also does the epilogue's work, or None."""
        return None

    def untiled(self, node: Node[AttributesT]) -> Node[AttributesT]:
        """Return the node in its form without a tile: less memory, more instructions."""
        return node

    def in_passes(self, node: Node[AttributesT], kernel: int) -> Node[AttributesT]:
        """Return the node in passes of ``kernel`` x ``kernel`` pixels; unchanged without patches.

        Raises:
            LoweringError: the passes do not divide a patch.
        """
        return node

    def in_strips(self, node: Node[AttributesT]) -> Node[AttributesT] | None:
        """Return the node for an image supplied strip by strip, or None if it needs the whole."""
        return None

    def over_image(
        self, node: Node[AttributesT], inputs: Sequence[TensorType]
    ) -> Node[AttributesT] | None:
        """Return the node with its output over the image that it reads, or None if it cannot."""
        return None
