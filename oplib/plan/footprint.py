"""Bytes of a subnet's firmware, before anything is compiled, by the exporter's own planner."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from mcuformer.device import Core
from mcuformer.subnet import SubnetConfig
from oplib.forms import DEFAULT_FORMS, Forms
from oplib.graph import Graph, Node
from oplib.ops.base import Field, Nested, Scalar
from oplib.ops.registry import OPERATORS
from oplib.plan.code_size import CALL_BYTES, KERNEL_BYTES, PORT_BYTES, STATIC_BYTES
from oplib.plan.instructions import weights_bytes
from oplib.plan.param_structs import call_structs
from oplib.plan.schedule import Choice, block_calls, choose, one_block

PRODUCT = "oplib_product_4x2"  # not inlined on cores without dual products
FETCH_BYTES = 4  # static data of the emulated application that supplies strips


@dataclass(frozen=True)
class PlannedBytes:
    """Bytes of a subnet's firmware that depend on its schedule: all but static data and stack.

    Args:
        arena: activations and working memory.
        weights: constant arrays, with tables and requantisation constants.
        code: all other bytes of flash.
    """

    arena: int
    weights: int
    code: int


def planned_bytes(
    subnet: SubnetConfig,
    core: Core,
    forms: Forms = DEFAULT_FORMS,
    arena_bytes: int | None = None,
) -> PlannedBytes:
    """Return the bytes of a subnet's firmware on a core.

    Arena and weights equal the linker's figures; code is estimated from a table by kernel and core.
    Blocks are planned one at a time (:func:`oplib.plan.schedule.one_block`).

    Args:
        subnet: the network's shape.
        core: the core whose machine code is counted.
        forms: forms of the integer operators.
        arena_bytes: largest arena, as for :func:`oplib.plan.schedule.schedule`; None asks for the
            least memory.
    """
    chosen = choose(subnet, forms, arena_bytes)
    costs = {block: _costs(one_block(subnet, block), forms, c) for block, c in chosen.items()}
    parts = [costs[block] for block in subnet.blocks]
    kernels = set().union(*(cost.kernels for cost in costs.values()))
    code = PORT_BYTES[core] + sum(KERNEL_BYTES[core][name] for name in kernels)
    return PlannedBytes(
        arena=max(choice.arena_bytes for choice in chosen.values()),
        weights=parts[0].rest_weights + sum(part.block_weights for part in parts),
        code=code + parts[0].rest_code + sum(part.block_code for part in parts),
    )


def static_bytes(forms: Forms) -> int:
    """Return the initialised and zeroed data of a firmware, without arena and stack."""
    return STATIC_BYTES + (FETCH_BYTES if forms.passes.input == "strip" else 0)


@dataclass(frozen=True)
class _Costs:
    """Bytes of flash of a network with one block: the block's own, and those outside of it."""

    block_weights: int
    rest_weights: int
    block_code: int
    rest_code: int
    kernels: frozenset[str]


@lru_cache(maxsize=65536)
def _costs(subnet: SubnetConfig, forms: Forms, choice: Choice) -> _Costs:
    """Return the flash of a network with one block, inside and outside of the block."""
    calls = block_calls(subnet, forms, choice)
    block = [node for node in calls.nodes if node.place is not None]
    rest = [node for node in calls.nodes if node.place is None]
    return _Costs(
        weights_bytes(calls, block),
        weights_bytes(calls, rest),
        calls_bytes(calls, block),
        calls_bytes(calls, rest),
        frozenset(kernels_of(calls)),
    )


def kernels_of(graph: Graph) -> set[str]:
    """Return the C functions that a graph calls, directly or inside another kernel."""
    operators = [OPERATORS[node.op] for node in graph.nodes]
    kernels = {name for operator in operators for name in (operator.kernel, *operator.helpers)}
    return kernels | {PRODUCT}


def calls_bytes(graph: Graph, nodes: Iterable[Node]) -> int:
    """Return the bytes of the nodes' calls and parameter structs."""
    return sum(
        CALL_BYTES + sum(struct_bytes(struct.fields) for struct in call_structs(graph, node, {}))
        for node in nodes
    )


def struct_bytes(fields: tuple[Field, ...]) -> int:
    """Return ``sizeof`` of a parameter struct on a 32-bit target."""
    size, alignment = 0, 4
    for field in fields:
        match field:
            case Nested(fields=inner):
                item, step = struct_bytes(inner), 4
            case Scalar(ctype="uint64_t"):
                item, step = 8, 8
            case _:
                item, step = 4, 4
        alignment = max(alignment, step)
        size = -(-size // step) * step + item
    return -(-size // alignment) * alignment
