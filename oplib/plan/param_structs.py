"""The parameter structs of a call: one of its own, and one for each part it points to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from oplib.graph import Graph, Node
from oplib.ops.base import ArrayRef, Field
from oplib.ops.fused import FusedOperator
from oplib.ops.registry import OPERATORS


@dataclass(frozen=True)
class Struct:
    """A constant struct of the generated C.

    Args:
        node: whose name it bears, whose arrays it points to and whose parts it refers to.
        ctype: of ``oplib.h``.
        fields: its members, in the header's order.
    """

    node: Node
    ctype: str
    fields: tuple[Field, ...]


class AnyScalar(dict[str, int]):
    """Stand for the scalars that lowering will give: their values do not change a struct's size."""

    def __missing__(self, key: str) -> int:
        return 0


def call_structs(
    graph: Graph, node: Node, scalars: Mapping[str, Mapping[str, int]]
) -> tuple[Struct, ...]:
    """Return the structs of a call, the one that is passed last.

    Args:
        graph: the scheduled graph.
        node: one of its nodes.
        scalars: of each leaf, by name; those not given count as 0.
    """
    operator = OPERATORS[node.op]
    if not isinstance(operator, FusedOperator):
        return (_struct(graph, node, scalars),)
    # A table has no struct: the layer whose epilogue looks it up points to it.
    structs = {
        role: _with_table(
            _struct(graph, part, scalars), node.parts.get(operator.tables.get(role, ""))
        )
        for role, part in node.parts.items()
        if role not in operator.tables.values()
    }
    if operator.struct_of is not None:
        return (structs[operator.struct_of],)
    return (*structs.values(), _struct(graph, node, scalars))


def _struct(graph: Graph, node: Node, scalars: Mapping[str, Mapping[str, int]]) -> Struct:
    operator = OPERATORS[node.op]
    fields = operator.fields(node, graph.inputs_of(node), scalars.get(node.name, AnyScalar()))
    return Struct(node, operator.params or f"{operator.kernel}_params", fields)


def _with_table(struct: Struct, owner: Node | None) -> Struct:
    """Return the struct with its null table pointing to that of `owner`, if there is one."""
    if owner is None:
        return struct
    table = ArrayRef("table", "table", owner.name)
    fields = tuple(table if f == ArrayRef("table", None) else f for f in struct.fields)
    return replace(struct, fields=fields)
