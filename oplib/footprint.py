"""What a subnet costs on a device, before anything is compiled, by the exporter's own planner."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from mcuformer.device import Core, Device, Footprint
from mcuformer.subnet import SubnetConfig
from oplib.code_size import CALL_BYTES, KERNEL_BYTES, PORT_BYTES, STATIC_BYTES
from oplib.forms import DEFAULT_FORMS, Forms
from oplib.graph import Graph, Node
from oplib.operator import Field
from oplib.ops import OPERATORS
from oplib.schedule import schedule

STRUCT_BYTES = {"int32_t": 4, "uint32_t": 4, "uint64_t": 8, "uint8_t[4]": 4, "array": 4}


def footprint(subnet: SubnetConfig, device: Device, forms: Forms = DEFAULT_FORMS) -> Footprint:
    """Return the bytes of the subnet's firmware on `device`.

    Arena and weights equal what the linker measures; code is a table by kernel and core. Blocks are
    planned one at a time: the residual stream is one buffer for the whole network and all else
    lives inside one block, so the largest sum of live bytes is that of the worst block.
    """
    parts = [
        _costs(subnet.model_copy(update={"blocks": (b,)}), device.core, forms)
        for b in subnet.blocks
    ]
    return Footprint(
        arena_bytes=max(part.arena_bytes for part in parts),
        static_bytes=STATIC_BYTES,
        stack_bytes=device.stack_reserve_bytes,
        weights_bytes=parts[0].rest_weights + sum(part.block_weights for part in parts),
        code_bytes=parts[0].rest_code + sum(part.block_code for part in parts),
    )


@dataclass(frozen=True)
class _Costs:
    """Bytes of a network of one block: its arena, the block's share, and the rest's."""

    arena_bytes: int
    block_weights: int
    rest_weights: int
    block_code: int
    rest_code: int


@lru_cache(maxsize=65536)
def _costs(subnet: SubnetConfig, core: Core, forms: Forms) -> _Costs:
    graph, plan = schedule(subnet, forms)
    fixed = PORT_BYTES[core] + sum(KERNEL_BYTES[core][name] for name in kernels_of(graph))
    block = [node for node in graph.nodes if node.name.startswith("blocks.")]
    rest = [node for node in graph.nodes if not node.name.startswith("blocks.")]
    return _Costs(
        plan.arena_bytes,
        weights_bytes(graph, block),
        weights_bytes(graph, rest),
        calls_bytes(graph, block),
        fixed + calls_bytes(graph, rest),
    )


def kernels_of(graph: Graph) -> set[str]:
    """Return the C functions that a graph calls, directly or inside another kernel."""
    operators = [OPERATORS[node.op] for node in graph.nodes]
    return {name for operator in operators for name in (operator.kernel, *operator.helpers)}


def weights_bytes(graph: Graph, nodes: Iterable[Node]) -> int:
    """Return the bytes of the nodes' constant arrays in flash, tables and multipliers included."""
    return sum(
        spec.num_bytes
        for node in nodes
        for spec in OPERATORS[node.op].array_specs(node, graph.inputs_of(node))
    )


def calls_bytes(graph: Graph, nodes: Iterable[Node]) -> int:
    """Return the bytes of the nodes' calls and parameter structs."""
    return sum(
        CALL_BYTES
        + struct_bytes(OPERATORS[node.op].fields(node, graph.inputs_of(node), AnyScalar()))
        for node in nodes
    )


class AnyScalar(dict[str, int]):
    """Stand for the scalars that lowering will give: their values do not change a struct's size."""

    def __missing__(self, key: str) -> int:
        return 0


def struct_bytes(fields: tuple[Field, ...]) -> int:
    """Return ``sizeof`` of a parameter struct on a 32-bit target."""
    size, alignment = 0, 4
    for field in fields:
        item = struct_bytes(field.value) if field.ctype == "struct" else STRUCT_BYTES[field.ctype]
        step = 8 if field.ctype == "uint64_t" else 4
        alignment = max(alignment, step)
        size = -(-size // step) * step + item
    return -(-size // alignment) * alignment
