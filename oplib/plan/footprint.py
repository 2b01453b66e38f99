"""Bytes and work of a subnet's firmware, before it is compiled, by the exporter's planner."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from mcuformer.device import Core
from mcuformer.subnet import SubnetConfig
from oplib.forms import DEFAULT_FORMS, Forms
from oplib.graph import Graph, Node
from oplib.ops.base import Field, Nested, Scalar
from oplib.ops.fused import FusedOperator
from oplib.ops.registry import OPERATORS
from oplib.ops.work import Work
from oplib.plan.arena import ONE_ARENA, FastRoom, fast_bytes
from oplib.plan.code_size import CALL_BYTES, KERNEL_BYTES, PORT_BYTES, STATIC_BYTES
from oplib.plan.param_structs import call_structs
from oplib.plan.schedule import Choice, block_calls, choose, one_block, outside_blocks
from oplib.plan.time_model import DEFAULT_TIMING, TimeModel, weights_bytes, work_of

PRODUCT = "oplib_product_4x2"  # not inlined on cores without dual products
CONTEXT_BYTES = 16  # of a network: hook, its argument, arena, state
FAST_CONTEXT_BYTES = 4  # the fast arena
ROWS_CONTEXT_BYTES = 28  # the function that supplies rows, and the progress with them


@dataclass(frozen=True)
class PlannedCost:
    """What depends on the schedule of a subnet's firmware: all but static data and stack.

    Args:
        arena: activations and working memory.
        fast: those in the fast arena.
        weights: constant arrays, with tables and requantisation constants.
        code: all other bytes of flash.
        work: modelled work of an image.
    """

    arena: int
    fast: int
    weights: int
    code: int
    work: Work


def planned_cost(
    subnet: SubnetConfig,
    core: Core,
    forms: Forms = DEFAULT_FORMS,
    arena_bytes: int | None = None,
    timing: TimeModel = DEFAULT_TIMING,
    fast: FastRoom = ONE_ARENA,
) -> PlannedCost:
    """Return the bytes and the work of a subnet's firmware.

    Arenas and weights equal the linker's figures; code is estimated from a table by kernel
    and core. Blocks are planned one at a time (:func:`oplib.plan.schedule.one_block`).

    Args:
        subnet: the network's shape.
        core: the core whose machine code is counted.
        forms: forms of the integer operators.
        arena_bytes: largest arena, as for :func:`oplib.plan.schedule.schedule`; None asks for the
            least memory.
        timing: model of the time, by which schedules are ranked.
        fast: what the fast arena may hold.
    """
    chosen = choose(subnet, forms, arena_bytes, timing, fast)
    costs = {
        block: _costs(one_block(subnet, block), forms, choice, fast)
        for block, choice in chosen.items()
    }
    parts = [costs[block] for block in subnet.blocks]
    over_image, panels = outside_blocks(chosen.values())
    block, choice = next((b, c) for b, c in chosen.items() if c.over_image == over_image)
    rest_choice = replace(choice, rest_panels=panels)
    rest = _costs(one_block(subnet, block), forms, rest_choice, fast)
    kernels = set().union(*(cost.kernels for cost in costs.values()))
    code = PORT_BYTES[core] + sum(KERNEL_BYTES[core][name] for name in kernels)
    return PlannedCost(
        arena=max(choice.arena_bytes for choice in chosen.values()),
        fast=max(rest.rest_fast, *(part.block_fast for part in parts)),
        weights=rest.rest_weights + sum(part.block_weights for part in parts),
        code=code + rest.rest_code + sum(part.block_code for part in parts),
        work=sum((part.block_work for part in parts), rest.rest_work),
    )


def static_bytes(forms: Forms, *, fast: bool) -> int:
    """Return the initialised and zeroed data of a firmware, without arena and stack.

    Args:
        forms: forms of the integer operators.
        fast: whether the device has a region for a fast arena.
    """
    rows = ROWS_CONTEXT_BYTES if forms.passes.input == "strip" else 0
    return STATIC_BYTES + CONTEXT_BYTES + rows + (FAST_CONTEXT_BYTES if fast else 0)


@dataclass(frozen=True)
class _Costs:
    """What the calls of a network with one block need: those of the block, and the rest."""

    block_fast: int
    rest_fast: int
    block_weights: int
    rest_weights: int
    block_code: int
    rest_code: int
    block_work: Work
    rest_work: Work
    kernels: frozenset[str]


@lru_cache(maxsize=65536)
def _costs(subnet: SubnetConfig, forms: Forms, choice: Choice, fast: FastRoom) -> _Costs:
    """Return fast memory, flash and work of a network with one block, inside and outside of it."""
    calls = block_calls(subnet, forms, choice)
    block = [node for node in calls.nodes if node.place is not None]
    rest = [node for node in calls.nodes if node.place is None]
    return _Costs(
        fast_bytes(calls, block, fast),
        fast_bytes(calls, rest, fast),
        weights_bytes(calls, block),
        weights_bytes(calls, rest),
        calls_bytes(calls, block),
        calls_bytes(calls, rest),
        work_of(calls, block),
        work_of(calls, rest),
        frozenset(kernels_of(calls)),
    )


def kernels_of(graph: Graph) -> set[str]:
    """Return the C functions that a graph calls, directly or inside another kernel."""
    kernels = {PRODUCT}
    for node in graph.nodes:
        operator = OPERATORS[node.op]
        kernels |= {operator.kernel, *operator.helpers}
        if isinstance(operator, FusedOperator):
            parts = [node.parts[role] for role in operator.chosen if role in node.parts]
            chosen = (OPERATORS[part.op].panel_kernel for part in parts)
            kernels |= {name for name in chosen if name is not None}
    return kernels


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
