"""The parameter structs of a call: its own, and one for each part that it points to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from oplib.graph import Graph, Node
from oplib.ops.base import ArrayRef, Field, PartRef
from oplib.ops.fused import FusedOperator
from oplib.ops.registry import OPERATORS


@dataclass(frozen=True)
class Struct:
    """A constant struct of the generated C.

    Args:
        node: node that gives the struct its name, its arrays and its parts.
        ctype: struct type in ``oplib.h``.
        fields: members, in the header's order.
    """

    node: Node
    ctype: str
    fields: tuple[Field, ...]


class AnyScalar(dict[str, int]):
    """Scalars before lowering: all 0, because values do not change the size of a struct."""

    def __missing__(self, key: str) -> int:
        return 0


def call_structs(
    graph: Graph, node: Node, scalars: Mapping[str, Mapping[str, int]]
) -> tuple[Struct, ...]:
    """Return the structs of a call; the last one is passed to the kernel.

    Args:
        graph: the scheduled graph.
        node: one of its nodes.
        scalars: scalars of each leaf, by node name; leaves that are missing get zeros.
    """
    operator = OPERATORS[node.op]
    if not isinstance(operator, FusedOperator):
        return (_struct(graph, node, scalars),)
    # A table has no struct: the layer whose epilogue looks it up points to it.
    tables = {
        layer: table
        for layer, table in operator.tables.items()
        if OPERATORS[node.parts[table].op].epilogue == "table"
    }
    structs = {
        role: _with_table(_struct(graph, part, scalars), node.parts.get(tables.get(role, "")))
        for role, part in node.parts.items()
        if role not in tables.values()
    }
    if operator.struct_of is not None:
        return (structs[operator.struct_of],)
    own = _struct(graph, node, scalars)
    absent = {PartRef(role, role): PartRef(role, None) for role in tables.values()}
    fields = tuple(absent.get(f, f) if isinstance(f, PartRef) else f for f in own.fields)
    return (*structs.values(), replace(own, fields=fields))


def _struct(graph: Graph, node: Node, scalars: Mapping[str, Mapping[str, int]]) -> Struct:
    operator = OPERATORS[node.op]
    fields = operator.fields(node, graph.inputs_of(node), scalars.get(node.name, AnyScalar()))
    return Struct(node, operator.params or f"{operator.kernel}_params", fields)


def _with_table(struct: Struct, owner: Node | None) -> Struct:
    """Return the struct with the table of `owner`, if there is one, in place of its null table."""
    if owner is None:
        return struct
    table = ArrayRef("table", "table", owner.name)
    fields = tuple(table if f == ArrayRef("table", None) else f for f in struct.fields)
    return replace(struct, fields=fields)
