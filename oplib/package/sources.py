"""A component's files as packages hold them: the network's, and the operators' in one folder.

A package lands among hundreds of other headers. So the operators' headers are included with their
folder, as ``oplib/isa.h``, and the macros of the core stand in that file: where to look for headers
is all that a build has to know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from mcuformer import __version__
from oplib.codegen.component import Component
from oplib.codegen.emit import emit
from oplib.codegen.runtime import CORE_DEFINITIONS, OPERATORS_FOLDER

INCLUDE = re.compile(rb'^#include "([^"]+)"', re.MULTILINE)
GUARD = b"#define OPLIB_ISA_H\n"
PROGRAM = """\
static uint8_t arena[@NAME@_ARENA_BYTES] @NAME@_ALIGNED;
@FAST@static struct @name@_context network;

static int32_t test_network(void)
{
    const int32_t status = @name@_init(&network, arena, sizeof arena@AND_FAST@);
    return status == @NAME@_OK ? @name@_selftest(&network) : status;
}
"""
FAST = "static uint8_t fast_arena[@NAME@_FAST_ARENA_BYTES] @NAME@_ALIGNED;\n"


@dataclass(frozen=True)
class Sources:
    """The files of a package's network.

    Args:
        component: the network.
        headers: content by path: ``NAME.h``, ``NAME_weights.h``, ``oplib/....h``.
        code: content by path: ``NAME.c`` and others of the network, ``oplib/....c``.
        data: files of bytes that code takes in; none with weights as text.
    """

    component: Component
    headers: Mapping[str, bytes]
    code: Mapping[str, bytes]
    data: Mapping[str, bytes]

    @classmethod
    def of(cls, component: Component, macros: Sequence[str]) -> Sources:
        """Return the files of a component.

        Args:
            component: the network.
            macros: what the operators are compiled with.
        """
        headers, code, data = {}, {}, {}
        files = {_place(name): content for name, content in emit(component).items()}
        for name, content in files.items():
            suffix = PurePosixPath(name).suffix
            if suffix == ".h":
                inside = name.startswith(OPERATORS_FOLDER)
                headers[name] = content if inside else _with_folder(content, files)
            elif suffix == ".c":
                code[name] = _with_folder(content, files)
            elif suffix == ".bin":
                data[name] = content
        isa = f"{OPERATORS_FOLDER}/isa.h"
        headers[isa] = _with_macros(headers[isa], macros)
        return cls(component, headers, code, data)

    @property
    def own_code(self) -> list[str]:
        """Paths of the network's own sources."""
        return [name for name in self.code if "/" not in name]

    @property
    def oplib_code(self) -> list[str]:
        """Paths of the operators' sources."""
        return [name for name in self.code if "/" in name]

    @property
    def description(self) -> str:
        """What the network is, in one line."""
        component = self.component
        pre, classes = component.model.preprocessing, len(component.class_names)
        image = f"{pre.img_size} x {pre.img_size} pixels ({pre.channel_order})"
        return f"Vision transformer: {image}, {classes} classes; made for {component.device.name}"

    def fill(self, template: str) -> bytes:
        """Return a template with the network's name and what else it asks for.

        ``@PROGRAM@`` becomes C that declares the network's memory and defines ``test_network()``.
        """
        fast = self.component.scheduled.plan.fast_bytes > 0
        marks = {
            "@PROGRAM@": PROGRAM,
            "@FAST@": FAST if fast else "",
            "@AND_FAST@": ", fast_arena, sizeof fast_arena" if fast else "",
            "@VERSION@": __version__,
            "@DESCRIPTION@": self.description,
        }
        for mark, text in marks.items():
            template = template.replace(mark, text)
        return self.component.names.fill(template).encode()


def core_macros(component: Component) -> tuple[str, ...]:
    """Return the macros that make the operators fast on the core of the component's device.

    That which puts them into sections of their own is not one: another linker script has none.
    """
    return CORE_DEFINITIONS[component.device.core]


def _place(name: str) -> str:
    """Return where a package holds a component's file."""
    path = PurePosixPath(name)
    return f"{OPERATORS_FOLDER}/{path.name}" if path.parts[0] == OPERATORS_FOLDER else name


def _with_folder(content: bytes, files: Mapping[str, bytes]) -> bytes:
    """Return C that includes the operators' headers by their folder."""

    def include(match: re.Match[bytes]) -> bytes:
        name = f"{OPERATORS_FOLDER}/{match[1].decode()}"
        return f'#include "{name}"'.encode() if name in files else match[0]

    return INCLUDE.sub(include, content)


def _with_macros(content: bytes, macros: Sequence[str]) -> bytes:
    """Return ``isa.h`` with macros that a build would have to define otherwise."""
    lines = "".join(f"#ifndef {name}\n#define {name}\n#endif\n" for name in macros)
    return content.replace(GUARD, GUARD + lines.encode(), 1)
