"""Generate the C of one network: parameter structs and the call sequence, nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mcuformer.errors import InternalError
from oplib.codegen.component import Component
from oplib.codegen.names import Names
from oplib.codegen.weights_c import C_TYPES, c_name, literal
from oplib.graph import Graph, Node
from oplib.ops.base import ArrayRef, Buffers, Bytes4, Field, Nested, PartRef, Scalar
from oplib.ops.fused import KernelRef
from oplib.ops.registry import OPERATORS
from oplib.plan.param_structs import Struct, call_structs
from oplib.plan.schedule import Schedule
from oplib.plan.timeline import timeline

COLUMNS = 100
STATE = """\
#define READY 1 /* the state of a context after @name@_init(); before it, zeros */

/* What a context that is not ready returns. */
static int32_t status_of(const struct @name@_context *context)
{
    return context->state < 0 ? context->state : @NAME@_NOT_INITIALISED;
}

"""
INIT = """\
int32_t @name@_init(struct @name@_context *context, void *arena, size_t arena_bytes@FAST@)
{
    context->hook = NULL;
    context->user = NULL;
@ROWS@    context->arena = NULL;
@CHECKS@    if (oplib_crc32(&@name@_weights, sizeof @name@_weights) != @NAME@_WEIGHTS_CRC32)
        return context->state = @NAME@_OTHER_WEIGHTS;
@KEEPS@    context->state = READY;
    return @NAME@_OK;
}
"""
CHECK = """\
    if (@memory@ == NULL || @memory@_bytes < @NAME@_@MEMORY@_BYTES)
        return context->state = @NAME@_ARENA_TOO_SMALL;
    if (((uintptr_t)@memory@ & 7u) != 0u)
        return context->state = @NAME@_ARENA_UNALIGNED;
"""
WHOLE_IMAGE = """\
uint8_t *@name@_input(const struct @name@_context *context)
{
    return @INPUT@;
}

int32_t @name@_set_image(const struct @name@_context *context, const void *pixels, size_t bytes)
{
    if (context->state != READY)
        return status_of(context);
    if (bytes != @NAME@_INPUT_BYTES)
        return @NAME@_WRONG_IMAGE;
    oplib_copy(@name@_input(context), pixels, bytes);
    return @NAME@_OK;
}
"""
STRIPS = """\
void @name@_restart(struct @name@_context *context)
{
    oplib_begin_image(&context->image);
}

int32_t @name@_run(struct @name@_context *context)
{
    return @name@_run_on(context, context->fetch_rows, context->user);
}
"""
RESULTS = """\
const int32_t *@name@_logits(const struct @name@_context *context)
{
    return (const int32_t *)(const void *)(@LOGITS@);
}

int32_t @name@_class(const struct @name@_context *context)
{
    return oplib_largest(@name@_logits(context), @NAME@_NUM_CLASSES);
}
"""
DONE = """\
static OPLIB_APART void done(const struct @name@_context *context, int32_t call)
{
    if (context->hook != NULL)
        context->hook(context->user, call);
}
"""


class Arena:
    """Addresses of buffers in the generated C: offsets of the plan into the caller's memory."""

    def __init__(self, scheduled: Schedule) -> None:
        self._plan = scheduled.plan
        self._calls = scheduled.calls

    @property
    def memories(self) -> tuple[str, ...]:
        """Names of the memories that the caller supplies."""
        return ("arena", "fast_arena") if self._plan.fast_bytes else ("arena",)

    def definition(self) -> list[str]:
        """Return the lines that define the places in the memory."""
        begins, plan = {}, self._plan
        for name, offset in plan.offsets.items():
            begins[f"AT_{c_name(name).upper()}"] = offset
        for node in self._calls.nodes:
            if node.name in plan.scratch:
                begins[f"SCRATCH_{c_name(node.name).upper()}"] = plan.scratch[node.name]
        return [
            "/* The bytes of the arena at which tensors and scratch begin. */",
            "enum {",
            *(f"    {name} = {offset}," for name, offset in begins.items()),
            "};",
        ]

    def preparation(self) -> list[str]:
        """Return the first lines of a function that uses the memory."""
        return [f"    uint8_t *const {name} = context->{name};" for name in self.memories]

    def tensor(self, name: str) -> str:
        """Return the address of a tensor, as C."""
        base = "fast_arena" if name in self._plan.fast_tensors else "arena"
        return f"{base} + AT_{c_name(name).upper()}"

    def kept(self, name: str) -> str:
        """Return the address of a tensor, as C, in a function that has not begun like run()."""
        return f"context->{self.tensor(name)}"

    def scratch(self, node: Node) -> str | None:
        """Return the address of a node's scratch, as C, if it needs any."""
        if node.name not in self._plan.scratch:
            return None
        base = "fast_arena" if node.name in self._plan.fast_scratch else "arena"
        return f"{base} + SCRATCH_{c_name(node.name).upper()}"


def emit_model(component: Component, memory: Arena) -> str:
    """Emit parameter structs and the call sequence.

    Args:
        component: the network.
        memory: addresses of its buffers.
    """
    scheduled, names, fetches = component.scheduled, component.names, component.fetches
    calls = scheduled.calls
    scalars = {name: lowered.scalars for name, lowered in component.model.lowered.items()}
    lines = [
        *component.heading,
        '#include "@name@.h"',
        "",
        '#include "@name@_weights.h"',
        '#include "isa.h"',
        '#include "oplib.h"',
        '#include "oplib_support.h"',
        *(['#include "strips.h"'] if fetches else []),
        "",
        *memory.definition(),
        "",
        *emit_structs(calls, scalars, names),
        *_init(memory, fetches=fetches),
        *(STRIPS if fetches else _whole_image(scheduled, memory)).splitlines(),
        "",
        *RESULTS.replace("@LOGITS@", memory.kept(calls.output)).splitlines(),
        "",
        *DONE.splitlines(),
        "",
        *_run(scheduled, memory, fetches=fetches),
    ]
    return names.fill("\n".join([*lines, ""]))


def _init(memory: Arena, *, fetches: bool) -> list[str]:
    """Return the function that checks and keeps the memory."""
    rows = "    context->fetch_rows = NULL;\n    @name@_restart(context);\n" if fetches else ""
    checks, keeps, fast = "", "", ""
    for name in memory.memories:
        checks += CHECK.replace("@memory@", name).replace("@MEMORY@", name.upper())
        keeps += f"    context->{name} = {name};\n"
    if "fast_arena" in memory.memories:
        fast = ",\n                    void *fast_arena, size_t fast_arena_bytes"
    text = INIT.replace("@FAST@", fast).replace("@ROWS@", rows)
    text = text.replace("@CHECKS@", checks).replace("@KEEPS@", keeps)
    return [*STATE.splitlines(), *text.splitlines(), ""]


def _whole_image(scheduled: Schedule, memory: Arena) -> str:
    return WHOLE_IMAGE.replace("@INPUT@", memory.kept(scheduled.calls.input))


def _run(scheduled: Schedule, memory: Arena, *, fetches: bool) -> list[str]:
    """Return the function that makes the calls."""
    checks = ["    if (context->state != READY)", "        return status_of(context);"]
    if not fetches:
        signature = ["int32_t @name@_run(struct @name@_context *context)"]
    else:
        signature = [
            "int32_t @name@_run_on(struct @name@_context *context,",
            "                      int32_t (*fetch_rows)(void *user, uint8_t *rows, int32_t first,",
            "                                            int32_t count),",
            "                      void *user)",
        ]
        checks += [
            "    if (fetch_rows == NULL)",
            "        return @NAME@_NO_ROWS;",
            "    context->image.fetch = fetch_rows;",
            "    context->image.user = user;",
        ]
    return [
        *signature,
        "{",
        *checks,
        *memory.preparation(),
        "",
        *_call_lines(scheduled, memory),
        "",
        "    return @NAME@_OK;",
        "}",
    ]


def emit_structs(calls: Graph, scalars: Mapping[str, Mapping[str, int]], names: Names) -> list[str]:
    """Emit the parameter structs of all calls.

    Args:
        calls: graph of calls.
        scalars: values of each leaf's scalars, by leaf and name; missing ones are 0.
        names: names of the network.
    """
    structs = (struct for node in calls.nodes for struct in call_structs(calls, node, scalars))
    return [names.fill(line) for struct in structs for line in _struct_lines(struct)]


def _struct_lines(struct: Struct) -> list[str]:
    opening = f"static const {struct.ctype} {c_name(struct.node.name)} = {{"
    return [opening, *_field_lines(struct.fields, struct.node, 1), "};", ""]


def _field_lines(fields: Sequence[Field], node: Node, depth: int) -> Iterator[str]:
    indent = "    " * depth
    for field in fields:
        if isinstance(field, Nested):
            yield f"{indent}.{field.name} = {{"
            yield from _field_lines(field.fields, node, depth + 1)
            yield f"{indent}}},"
        else:
            yield f"{indent}.{field.name} = {_field_value(field, node)},"


def _field_value(field: Scalar | Bytes4 | ArrayRef | PartRef, node: Node) -> str:
    match field:
        case Scalar(ctype=ctype, value=value):
            return literal(value) + {"uint32_t": "u", "uint64_t": "ull"}.get(ctype, "")
        case Bytes4(values=values):
            return "{" + ", ".join(map(str, values)) + "}"
        case ArrayRef(array=None) | PartRef(role=None):
            return "NULL"
        case ArrayRef(array=str(array), owner=owner):
            return f"@name@_weights.{c_name(owner or node.name)}_{array}"
        case KernelRef(role=str(role)):
            return OPERATORS[node.parts[role].op].panel_kernel or "NULL"
        case PartRef(role=str(role), member=member):
            part = c_name(node.parts[role].name)
            return f"&{part}.{member}" if member else f"&{part}"
    raise InternalError("unknown type of field", got=field)


def _call_lines(scheduled: Schedule, memory: Arena) -> Iterator[str]:
    """Yield the calls, each preceded by a comment with its shapes and its live bytes."""
    calls = scheduled.calls
    for number, (node, moment) in enumerate(zip(calls.nodes, timeline(scheduled), strict=True)):
        fast = f", fast {moment.fast_bytes:,} B" if moment.fast else ""
        yield f"    /* {node.name}: {_shapes(calls, node)}, peak {moment.arena_bytes:,} B{fast} */"
        yield from _call_line(scheduled, node, memory)
        if OPERATORS[node.op].fetches_image:
            yield "    if (status != @NAME@_OK) {"
            yield "        if (status < 0)"
            yield "            @name@_restart(context);"
            yield "        return status;"
            yield "    }"
        yield f"    done(context, {number});"


def _shapes(calls: Graph, node: Node) -> str:
    """Return the shapes of a call's data from part to part, ``4 tokens, 48 -> 96 -> 48``.

    Consecutive equal shapes appear once, and so does a number of tokens that does not change.
    """
    names = (node.inputs[0], *(part.output for part in node.leaves))
    shapes = [calls.tensors[name].shape for name in names]
    steps = [shapes[0]]
    for shape in shapes[1:]:
        if shape != steps[-1]:
            steps.append(shape)
    if {(len(shape), shape[0]) for shape in steps} == {(2, steps[0][0])}:
        return f"{steps[0][0]} tokens, " + " -> ".join(str(width) for _, width in steps)
    return " -> ".join(" x ".join(map(str, shape)) for shape in steps)


def _call_line(scheduled: Schedule, node: Node, memory: Arena) -> Iterator[str]:
    calls, operator = scheduled.calls, OPERATORS[node.op]
    inputs = tuple(
        "NULL"  # fetched by the application
        if operator.fetches_image
        else _pointer(calls, name, memory, const=index != node.overwrites)
        for index, name in enumerate(node.inputs)
    )
    output = _pointer(calls, node.output, memory, const=False)
    buffers = Buffers(inputs, output, memory.scratch(node) or "NULL")
    arguments = operator.call_arguments(node, buffers, calls.inputs_of(node))
    params = c_name(call_structs(calls, node, {})[-1].node.name)
    result = "const int32_t status = " if operator.fetches_image else ""
    line = f"    {result}{operator.kernel}("
    for argument in (*(f"{argument}, " for argument in arguments), f"&{params});"):
        if len(line) + len(argument.rstrip()) > COLUMNS:
            yield line.rstrip()
            line = " " * 8
        line += argument
    yield line


def _pointer(calls: Graph, tensor: str, memory: Arena, *, const: bool) -> str:
    ctype = C_TYPES[calls.tensors[tensor].dtype]
    cast = f"const {ctype} *" if const else f"{ctype} *"
    void = "(void *)" if ctype in ("int16_t", "int32_t") else ""
    return f"({cast}){void}({memory.tensor(tensor)})"
