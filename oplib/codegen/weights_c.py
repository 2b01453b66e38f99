"""Generate the constants of one network: one struct with every array, and its values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mcuformer.errors import InternalError
from oplib.graph import Graph, Node
from oplib.network.reference import IntegerModel
from oplib.ops.base import ALIGNMENT, Array, ArraySpec
from oplib.ops.registry import OPERATORS
from oplib.plan.schedule import Schedule

C_TYPES = {
    "int8": "int8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "uint16": "uint16_t",
    "uint8": "uint8_t",
}
NUMBERS_PER_LINE = 16


def c_name(name: str) -> str:
    """Return a node's name as a C identifier."""
    return name.replace(".", "_")


def owners(scheduled: Schedule) -> list[Node]:
    """Return the nodes that own constants: the leaves of every call."""
    return [leaf for node in scheduled.calls.nodes for leaf in node.leaves]


def specs(graph: Graph, node: Node) -> tuple[ArraySpec, ...]:
    """Return the constant arrays of a node."""
    return OPERATORS[node.op].array_specs(node, graph.inputs_of(node))


def emit_weights_header(scheduled: Schedule, head: Sequence[str]) -> str:
    """Emit the type of the struct that holds every constant array."""
    lines = [
        *head,
        "#ifndef MODEL_WEIGHTS_H",
        "#define MODEL_WEIGHTS_H",
        "",
        "#include <stdint.h>",
        "",
        f"#define MODEL_ALIGNED __attribute__((aligned({ALIGNMENT})))",
        "",
        "struct model_weights {",
    ]
    for node in owners(scheduled):
        for spec in specs(scheduled.calls, node):
            size = " * ".join(str(length) for length in spec.shape)
            member = f"{c_name(node.name)}_{spec.name}[{size}]"
            lines.append(f"    {C_TYPES[spec.dtype]} {member} MODEL_ALIGNED;")
    lines += ["};", "", "extern const struct model_weights model_weights;", "", "#endif", ""]
    return "\n".join(lines)


def emit_weights(model: IntegerModel, scheduled: Schedule, head: Sequence[str]) -> str:
    """Emit the values of the constants.

    Raises:
        InternalError: an array differs from the declaration of its operator.
    """
    lines = [
        *head,
        '#include "model_weights.h"',
        "",
        "const struct model_weights model_weights = {",
    ]
    for node in owners(scheduled):
        arrays = OPERATORS[node.op].flash_arrays(node, model.lowered[node.name])
        for spec in specs(scheduled.calls, node):
            values = arrays[spec.name]
            if values.shape != spec.shape or values.dtype != np.dtype(spec.dtype):
                raise InternalError(
                    "array differs from the declaration of its operator",
                    where=f"{node.name}.{spec.name}",
                    got=f"{values.dtype} {values.shape}",
                    expected=f"{spec.dtype} {spec.shape}",
                )
            lines.append(f"    .{c_name(node.name)}_{spec.name} = {{")
            lines += _number_lines(values)
            lines.append("    },")
    return "\n".join([*lines, "};", ""])


def _number_lines(values: Array) -> Iterator[str]:
    flat = values.ravel().tolist()
    for start in range(0, len(flat), NUMBERS_PER_LINE):
        row = ", ".join(literal(number) for number in flat[start : start + NUMBERS_PER_LINE])
        yield f"        {row},"


def literal(number: int) -> str:
    """Return an int32 as a C constant expression of type int."""
    # C has no negative literals: -2147483648 is the negation of 2147483648, which exceeds int and
    # therefore has a wider type (C99, 6.4.4.1). -2147483647 - 1 has the same value and stays int.
    return "(-2147483647 - 1)" if number == -(2**31) else str(number)
