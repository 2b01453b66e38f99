"""Generate the constants of one network: one struct with every array, its bytes, and its C.

The bytes are a file that gcc's and clang's assembler takes in whole, because text of millions of
numbers costs a compiler a minute and hundreds of megabytes. For other compilers there is the text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from mcuformer.errors import InternalError
from oplib.codegen.names import Names
from oplib.graph import Graph, Node
from oplib.network.reference import IntegerModel
from oplib.ops.base import ALIGNMENT, Array, ArraySpec, align
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
WeightsForm = Literal["binary", "text"]
WEIGHTS_SECTION = ".rodata.oplib_weights"  # whose name linker scripts know
TAKE_IN = f"""\
#if !defined(__GNUC__) || !defined(__ELF__)
#error "needs gcc or clang, and ELF; for other compilers export with export.weights=text"
#endif

/* The assembler looks for the file in the current folder, then in those given with -I. */
__asm__(".pushsection @section@.@name@, \\"a\\", %progbits\\n"
        ".balign {ALIGNMENT}\\n"
        ".global @symbol@\\n"
        ".type @symbol@, %object\\n"
        "@symbol@:\\n"
        ".incbin \\"@name@@part@.bin\\"\\n"
        ".size @symbol@, . - @symbol@\\n"
        ".popsection\\n");"""


def c_name(name: str) -> str:
    """Return a node's name as a C identifier."""
    return name.replace(".", "_")


def owners(scheduled: Schedule) -> list[Node]:
    """Return the nodes that own constants: the leaves of every call."""
    return [leaf for node in scheduled.calls.nodes for leaf in node.leaves]


def specs(graph: Graph, node: Node) -> tuple[ArraySpec, ...]:
    """Return the constant arrays of a node."""
    return OPERATORS[node.op].array_specs(node, graph.inputs_of(node))


def emit_weights_header(scheduled: Schedule, names: Names, head: Sequence[str]) -> str:
    """Emit the type of the struct that holds every constant array."""
    lines = [
        *head,
        "#ifndef @NAME@_WEIGHTS_H",
        "#define @NAME@_WEIGHTS_H",
        "",
        "#include <stdint.h>",
        "",
        f"#define @NAME@_WEIGHTS_ALIGNED __attribute__((aligned({ALIGNMENT})))",
        "",
        "struct @name@_weights {",
    ]
    for node in owners(scheduled):
        for spec in specs(scheduled.calls, node):
            size = " * ".join(str(length) for length in spec.shape)
            member = f"{c_name(node.name)}_{spec.name}[{size}]"
            lines.append(f"    {C_TYPES[spec.dtype]} {member} @NAME@_WEIGHTS_ALIGNED;")
    lines += ["};", "", "extern const struct @name@_weights @name@_weights;", "", "#endif", ""]
    return names.fill("\n".join(lines))


def constants(model: IntegerModel, scheduled: Schedule) -> Iterator[tuple[str, Array]]:
    """Yield the constant arrays in the order of the struct, each with the name of its member.

    Raises:
        InternalError: an array differs from the declaration of its operator.
    """
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
            yield f"{c_name(node.name)}_{spec.name}", values


def weights_image(model: IntegerModel, scheduled: Schedule) -> bytes:
    """Return the bytes of the struct in flash: little endian, padding zero."""
    image = bytearray()
    for _, values in constants(model, scheduled):
        image += values.astype(values.dtype.newbyteorder("<")).tobytes()
        image += bytes(align(len(image)) - len(image))
    return bytes(image)


def take_in(names: Names, part: str, symbol: str, section: str) -> str:
    """Return the C that takes the bytes of a file into a symbol.

    Args:
        names: names of the network.
        part: ending of the file's name, and of its header's.
        symbol: what the bytes are called.
        section: section for them, before the network's name.
    """
    text = TAKE_IN.replace("@part@", part).replace("@symbol@", symbol)
    return names.fill(text.replace("@section@", section))


def emit_weights_binary(names: Names, head: Sequence[str]) -> str:
    """Emit the C that takes in the struct's bytes."""
    text = take_in(names, "_weights", names.symbol("weights"), WEIGHTS_SECTION)
    return "\n".join([*head, names.fill('#include "@name@_weights.h"'), "", text, ""])


def emit_weights_text(
    model: IntegerModel, scheduled: Schedule, names: Names, head: Sequence[str]
) -> str:
    """Emit the struct's values as C text."""
    lines = [
        *head,
        '#include "@name@_weights.h"',
        "",
        "#if defined(__GNUC__) && defined(__ELF__)",
        f'__attribute__((section("{WEIGHTS_SECTION}.@name@")))',
        "#endif",
        "const struct @name@_weights @name@_weights = {",
    ]
    for member, values in constants(model, scheduled):
        lines += [f"    .{member} = {{", *number_lines(values), "    },"]
    return names.fill("\n".join([*lines, "};", ""]))


def number_lines(values: Array) -> Iterator[str]:
    """Yield the numbers of an array, separated by commas, in lines of C."""
    flat = values.ravel().tolist()
    for start in range(0, len(flat), NUMBERS_PER_LINE):
        row = ", ".join(literal(number) for number in flat[start : start + NUMBERS_PER_LINE])
        yield f"        {row},"


def literal(number: int) -> str:
    """Return an int32 as a C constant expression of type int."""
    # C has no negative literals: -2147483648 is the negation of 2147483648, which exceeds int and
    # therefore has a wider type (C99, 6.4.4.1). -2147483647 - 1 has the same value and stays int.
    return "(-2147483647 - 1)" if number == -(2**31) else str(number)
