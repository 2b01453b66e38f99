"""The network as a graph of tensors and operators; shapes and types only, no numbers.

One graph serves the float reference, the integer reference, the memory planner and the emitter.
A tensor has no batch dimension: the device runs one image at a time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

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
        """Bytes without padding."""
        return self.size * ITEM_BYTES[self.dtype]


@dataclass(frozen=True)
class Node:
    """One operator call.

    Args:
        name: unique, in timm's spelling, for instance ``blocks.0.mlp.fc1``.
        op: key of :data:`oplib.ops.OPERATORS`.
        inputs: names of the tensors read.
        output: name of the tensor written.
        attrs: integers and floats that the operator's shape rule and lowering need.
        overwrites: index of the input whose bytes the output takes over, or None.
        below: bytes by which that output begins before the input.
        parts: the nodes that one call computes together, in order.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    output: str
    attrs: Mapping[str, int | float] = field(default_factory=dict)
    overwrites: int | None = None
    below: int = 0
    parts: tuple[Node, ...] = ()

    @property
    def leaves(self) -> tuple[Node, ...]:
        """The nodes that own constants and numbers: the parts, or the node itself."""
        return self.parts or (self,)

    def int_attr(self, name: str) -> int:
        """Return an integer attribute."""
        return int(self.attrs[name])


@dataclass(frozen=True)
class Graph:
    """Nodes in execution order; every tensor has one writer and `input` none."""

    tensors: Mapping[str, TensorType]
    nodes: tuple[Node, ...]
    input: str
    output: str

    def inputs_of(self, node: Node) -> tuple[TensorType, ...]:
        """Return the types of the tensors a node reads."""
        return tuple(self.tensors[name] for name in node.inputs)

    def last_use(self, tensor: str) -> int:
        """Return the index of the last node that touches `tensor`; the output outlives them all."""
        if tensor == self.output:
            return len(self.nodes)
        return max(i for i, node in enumerate(self.nodes) if tensor in (*node.inputs, node.output))
