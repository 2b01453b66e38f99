"""What a subnet costs on a device, before anything is compiled, by the exporter's own planner."""

from __future__ import annotations

from mcuformer.device import Device, Footprint
from mcuformer.subnet import SubnetConfig
from oplib.code_size import CALL_BYTES, KERNEL_BYTES, PORT_BYTES, STATIC_BYTES
from oplib.graph import Graph
from oplib.operator import Field
from oplib.ops import OPERATORS
from oplib.schedule import schedule

STRUCT_BYTES = {"int32_t": 4, "uint32_t": 4, "uint64_t": 8, "uint8_t[4]": 4, "array": 4}


def footprint(subnet: SubnetConfig, device: Device) -> Footprint:
    """Return the bytes of the subnet's firmware on `device`.

    Arena and weights equal what the linker measures; code is a table by kernel and core.
    """
    graph, plan = schedule(subnet)
    return Footprint(
        arena_bytes=plan.arena_bytes,
        static_bytes=STATIC_BYTES,
        stack_bytes=device.stack_reserve_bytes,
        weights_bytes=weights_bytes(graph),
        code_bytes=code_bytes(graph, device),
    )


def weights_bytes(graph: Graph) -> int:
    """Return the bytes of every constant array in flash, tables and multipliers included."""
    return sum(
        spec.num_bytes
        for node in graph.nodes
        for spec in OPERATORS[node.op].array_specs(node, graph.inputs_of(node))
    )


def code_bytes(graph: Graph, device: Device) -> int:
    """Return the bytes of code, parameter structs and start-up, from the measured table."""
    kernels = {OPERATORS[node.op].kernel for node in graph.nodes}
    total = PORT_BYTES[device.core] + sum(KERNEL_BYTES[device.core][name] for name in kernels)
    for node in graph.nodes:
        total += CALL_BYTES + struct_bytes(
            OPERATORS[node.op].fields(node, graph.inputs_of(node), AnyScalar())
        )
    return total


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
