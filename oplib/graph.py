"""The network as a graph of tensors and operators: shapes and types only, no numbers.

One graph serves the float reference, the integer reference, the memory planner and the code
generator. Tensors have no batch dimension: the device runs one image at a time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal

from typing_extensions import TypeVar

from mcuformer.errors import InternalError

DType = Literal["uint8", "int8", "int16", "int32"]
ITEM_BYTES: dict[str, int] = {"uint8": 1, "int8": 1, "int16": 2, "uint16": 2, "int32": 4}


@dataclass(frozen=True)
class TensorType:
    """Shape and integer type of a tensor on the device."""

    shape: tuple[int, ...]
    dtype: DType = "int8"

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def num_bytes(self) -> int:
        """Number of bytes, without padding."""
        return self.size * ITEM_BYTES[self.dtype]


@dataclass(frozen=True)
class Attributes:
    """Values that an operator's shape rule and lowering need besides its inputs: here, none.

    An operator that needs more derives a frozen dataclass of its own.
    """


NO_ATTRIBUTES = Attributes()
AttributesT_co = TypeVar("AttributesT_co", bound=Attributes, covariant=True, default=Attributes)
KindT = TypeVar("KindT", bound=Attributes)
Branch = Literal["attention", "mlp"]


@dataclass(frozen=True)
class Place:
    """The position of a node in a transformer block.

    Args:
        block: index of the block.
        branch: half of the block, from its norm to its residual addition.
        role: what the node computes, for instance ``norm``, ``q`` or ``fc1_factor``.
    """

    block: int
    branch: Branch
    role: str


@dataclass(frozen=True)
class Node(Generic[AttributesT_co]):
    """One operator call.

    Args:
        name: unique name in timm's spelling, for instance ``blocks.0.mlp.fc1``.
        op: key of the operator in :data:`oplib.ops.registry.OPERATORS`.
        inputs: names of the tensors that the node reads.
        output: name of the tensor that it writes.
        attrs: attributes, of the operator's own type.
        place: position in a transformer block; None outside of blocks.
        overwrites: index of the input whose bytes the output takes over; None if it takes none.
        below: number of bytes by which that output begins before the input.
        parts: nodes that the call computes together, by role, in order of execution.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    output: str
    attrs: AttributesT_co
    place: Place | None = None
    overwrites: int | None = None
    below: int = 0
    parts: Mapping[str, Node] = field(default_factory=dict)

    @property
    def leaves(self) -> tuple[Node, ...]:
        """The nodes that own constants and numbers: the parts, or the node itself without any."""
        return tuple(self.parts.values()) or (self,)

    def attributes(self, kind: type[KindT]) -> KindT:
        """Return the attributes, checked to be of the type `kind`.

        Raises:
            InternalError: they are of another type.
        """
        if not isinstance(self.attrs, kind):
            raise InternalError(
                "attributes of another operator",
                where=self.name,
                got=type(self.attrs).__name__,
                expected=kind.__name__,
            )
        return self.attrs


@dataclass(frozen=True)
class Graph:
    """Nodes in order of execution; every tensor but `input` is written by exactly one node."""

    tensors: Mapping[str, TensorType]
    nodes: tuple[Node, ...]
    input: str
    output: str

    def inputs_of(self, node: Node) -> tuple[TensorType, ...]:
        """Return the types of the tensors a node reads."""
        return tuple(self.tensors[name] for name in node.inputs)

    def last_use(self, tensor: str) -> int:
        """Return the index of the last node that uses `tensor`; the output outlives all nodes."""
        if tensor == self.output:
            return len(self.nodes)
        return max(i for i, node in enumerate(self.nodes) if tensor in (*node.inputs, node.output))
