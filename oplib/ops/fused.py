"""Operators that compute several nodes of the graph in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import ClassVar

from oplib.graph import Node
from oplib.ops.base import AttributesT, Operator, PartRef, Tensors


class KernelRef(PartRef):
    """A pointer to the kernel of a part (:attr:`Operator.panel_kernel`), null without one."""


class FusedOperator(Operator[AttributesT]):
    """An operator whose node has parts, each with its own constants and numbers.

    It has neither references nor work of its own: references run part by part and work is the sum
    over the parts.

    Attributes:
        tables: by the role of a layer, the role of the part whose table its epilogue looks up, if
            that part is a table (:attr:`Operator.epilogue`).
        chosen: roles of the parts that say themselves by which kernel they are computed
            (:attr:`Operator.panel_kernel`).
        struct_of: role of the part whose struct the call receives; None where the call has a struct
            of its own.
        packs: roles of the parts whose inputs the call packs into a tile; all others read a tile.
    """

    tables: ClassVar[Mapping[str, str]] = {}
    chosen: ClassVar[tuple[str, ...]] = ()
    struct_of: ClassVar[str | None] = None
    packs: ClassVar[tuple[str, ...]] = ()

    def repeats(self, node: Node[AttributesT], role: str) -> int:
        """Return how many times a part is computed per token."""
        return 1

    def passes(self, node: Node[AttributesT], role: str, tokens: int) -> Fraction | None:
        """Return how many times the call reads all constants of a part; None: as the part alone."""
        raise NotImplementedError


class BlockOperator(FusedOperator[AttributesT]):
    """An operator that computes half of a transformer block; its parts are the half's nodes."""

    def fused_attributes(
        self, parts: Mapping[str, Node], tensors: Tensors, group: int
    ) -> AttributesT | None:
        """Return the fused node's attributes, or None where the kernel cannot compute the half.

        Args:
            parts: the half's nodes, by role.
            tensors: type of every tensor of the graph.
            group: number of attention heads computed at a time.
        """
        raise NotImplementedError

    def largest_group(self, node: Node[AttributesT]) -> int:
        """Return the largest useful `group`: the number of heads, or 1 without any."""
        return 1


def factor_rank(parts: Mapping[str, Node], layer: str, tensors: Tensors) -> int:
    """Return the rank of a layer of a half, 0 where it is dense."""
    factor = parts.get(f"{layer}_factor")
    return 0 if factor is None else tensors[factor.output].shape[1]


def part_fields(
    node: Node, roles: Sequence[str], chosen: Sequence[str] = ()
) -> tuple[PartRef, ...]:
    """Return a pointer to the struct of each role's part, null for a part that is absent.

    Behind those of `chosen` stands a pointer to the kernel that computes the part.
    """
    members: list[PartRef] = []
    for role in roles:
        part = role if role in node.parts else None
        members.append(PartRef(role, part))
        if role in chosen:
            members.append(KernelRef(f"{role}_kernel", part))
    return tuple(members)
