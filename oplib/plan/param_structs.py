"""The parameter structs of a call: one of its own, and one for each part it points to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from oplib.graph import Graph, Node
from oplib.ops.base import Field
from oplib.ops.registry import OPERATORS
from oplib.plan.passes.integrate_operators import INTEGRATED

TABLE = "gelu"  # a part without a struct: its table goes into that of the layer before


@dataclass(frozen=True)
class Struct:
    """A constant struct of the generated C.

    Args:
        node: whose name it bears.
        ctype: of ``oplib.h``.
        fields: in the header's order; names of parts instead of their indices.
        table: the node whose table fills the field of that name, if any.
    """

    node: Node
    ctype: str
    fields: tuple[Field, ...]
    table: Node | None = None


class AnyScalar(dict[str, int]):
    """Stand for the scalars that lowering will give: their values do not change a struct's size."""

    def __missing__(self, key: str) -> int:
        return 0


def call_structs(
    graph: Graph, node: Node, scalars: Mapping[str, Mapping[str, int]]
) -> tuple[Struct, ...]:
    """Return the structs of a call, the one that is passed last.

    Args:
        scalars: of each leaf, by name; those not given count as 0.
    """
    if node.op == INTEGRATED["gelu"]:
        linear, gelu = node.parts
        return (_struct(graph, linear, scalars, gelu),)
    if not node.parts:
        return (_struct(graph, node, scalars, None),)
    own = _struct(graph, node, scalars, None)
    following = (*node.parts[1:], None)
    structs = [
        _struct(graph, part, scalars, after if after is not None and after.op == TABLE else None)
        for part, after in zip(node.parts, following, strict=True)
        if part.op != TABLE
    ]
    names = tuple(
        replace(field, value=None if field.value is None else node.parts[field.value].name)
        if field.ctype == "part"
        else field
        for field in own.fields
    )
    return (*structs, replace(own, fields=names))


def _struct(
    graph: Graph, node: Node, scalars: Mapping[str, Mapping[str, int]], table: Node | None
) -> Struct:
    operator = OPERATORS[node.op]
    fields = operator.fields(node, graph.inputs_of(node), scalars.get(node.name, AnyScalar()))
    return Struct(node, operator.params or f"{operator.kernel}_params", fields, table)
