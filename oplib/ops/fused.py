"""Operators that compute several nodes of the graph in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from oplib.graph import Node
from oplib.ops.base import AttributesT, Operator, PartRef, Tensors


class FusedOperator(Operator[AttributesT]):
    """An operator whose node has parts, each of which keeps its own constants and numbers.

    It has neither references nor work of its own: these are the sums of its parts'.

    Attributes:
        tables: which part's epilogue looks up which part's table, by role.
        struct_of: the part whose struct the call passes as its own; None where it has one.
        packs: the parts whose inputs the call packs; the others find theirs in a tile.
    """

    tables: ClassVar[Mapping[str, str]] = {}
    struct_of: ClassVar[str | None] = None
    packs: ClassVar[tuple[str, ...]] = ()

    def repeats(self, node: Node[AttributesT], role: str) -> int:
        """Return how often the part is computed for every token."""
        return 1


class BlockOperator(FusedOperator[AttributesT]):
    """An operator that computes half of a transformer block; its parts are the half's nodes."""

    def fused_attributes(
        self, parts: Mapping[str, Node], tensors: Tensors, group: int
    ) -> AttributesT | None:
        """Return the attributes of the fused node, or None where the kernel takes no such half.

        Args:
            parts: the half's nodes, by role.
            tensors: type of every tensor of the graph.
            group: attention heads at a time.
        """
        raise NotImplementedError

    def largest_group(self, node: Node[AttributesT]) -> int:
        """Return how many groups' work the kernel can do at a time: heads, where it has some."""
        return 1


def factor_rank(parts: Mapping[str, Node], layer: str, tensors: Tensors) -> int:
    """Return the rank of a layer among a half's nodes, 0 where it is dense."""
    factor = parts.get(f"{layer}_factor")
    return 0 if factor is None else tensors[factor.output].shape[1]


def part_fields(node: Node, roles: Sequence[str]) -> tuple[PartRef, ...]:
    """Return a pointer to the struct of each role's part, null where there is no such part."""
    return tuple(PartRef(role, role if role in node.parts else None) for role in roles)
