"""Modelled cost of a schedule in time: instructions and flash traffic.

Every operator models its own work (:meth:`oplib.ops.base.Operator.work`); this module adds it up.
"""

from __future__ import annotations

from collections.abc import Iterable

from oplib.graph import Graph, Node
from oplib.ops.fused import FusedOperator
from oplib.ops.registry import OPERATORS
from oplib.ops.work import Work


def node_work(graph: Graph, node: Node) -> Work:
    """Return the modelled work of one call: its own, or that of all its parts."""
    operator = OPERATORS[node.op]
    if not isinstance(operator, FusedOperator):
        return operator.work(node, graph.tensors)
    tokens = graph.tensors[node.output].shape[0]
    total = Work()
    for role, part in node.parts.items():
        own, inputs = OPERATORS[part.op], graph.inputs_of(part)
        work = own.work(part, graph.tensors, inside=role not in operator.packs)
        constants = sum(spec.num_bytes for spec in own.array_specs(part, inputs))
        read = int(constants * operator.passes(node, role, tokens))
        total += Work(work.instructions * operator.repeats(node, role), read)
    return total


def graph_work(graph: Graph) -> Work:
    """Return the modelled work of a scheduled graph."""
    return sum((node_work(graph, node) for node in graph.nodes), Work())


def weights_bytes(graph: Graph, nodes: Iterable[Node]) -> int:
    """Return the bytes of the nodes' constant arrays in flash, tables and multipliers included."""
    return sum(
        spec.num_bytes
        for node in nodes
        for part in node.leaves
        for spec in OPERATORS[part.op].array_specs(part, graph.inputs_of(part))
    )


def least_work(graph: Graph) -> Work:
    """Return the work of a graph whose panels are so wide that every constant is read once."""
    return Work(graph_work(graph).instructions, weights_bytes(graph, graph.nodes))


def modelled_instructions(graph: Graph) -> int:
    """Return the modelled instructions of a scheduled graph."""
    return round(graph_work(graph).instructions)


def flash_bytes_read(graph: Graph) -> int:
    """Return the bytes of constants that a scheduled graph reads; every panel reads them again."""
    return graph_work(graph).bytes_read
