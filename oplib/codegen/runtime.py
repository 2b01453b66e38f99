"""The hand-written C that goes into firmware: where it is, and which of it a network needs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from mcuformer.device import Core, Device

RUNTIME = Path(__file__).resolve().parents[1] / "runtime"
OPERATORS_FOLDER = "oplib"  # in a component
CORE_DEFINITIONS: dict[Core, tuple[str, ...]] = {
    "cortex-m0plus": (),
    "cortex-m3": (),
    "cortex-m4": ("OPLIB_CORTEX_M4",),
    "cortex-m7": (),
}
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
DEFINED = re.compile(r"^\w[^;{}]*?\b(oplib_\w+)\([^;]*?\)\s*\{", re.MULTILINE)
USED = re.compile(r"\boplib_\w+")
INCLUDED = re.compile(r'^#include "([^"]+)"', re.MULTILINE)


def definitions(device: Device) -> tuple[str, ...]:
    """Return the macros with which the operators are compiled for a device."""
    core = CORE_DEFINITIONS[device.core]
    return core if device.fast_code_region is None else (*core, "OPLIB_FAST_CODE_SECTION")


def operator_files(kernels: Iterable[str]) -> dict[str, bytes]:
    """Return the folder of a network's operators: only the kernels that it uses.

    Args:
        kernels: names of the C functions that the network calls.

    Returns:
        Content by path, relative to the component.
    """
    names = needed_sources(kernel.removeprefix("oplib_") for kernel in kernels)
    sources = sorted(RUNTIME / "src" / f"{name}.c" for name in names)
    others = [
        RUNTIME / "CMakeLists.txt",
        *sorted((RUNTIME / "support").glob("*.c")),
        *sorted((RUNTIME / "include").glob("*.h")),
    ]
    return {
        f"{OPERATORS_FOLDER}/{path.relative_to(RUNTIME).as_posix()}": path.read_bytes()
        for path in [*others, *sources]
    }


def needed_sources(names: Iterable[str]) -> set[str]:
    """Return the kernels that some kernels need, themselves included, by the stems of their files.

    A kernel needs what its source, or a header that it includes, calls.
    """
    needed, waiting = set(), list(names)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += _callees(name)
    return needed


@cache
def _callees(name: str) -> frozenset[str]:
    """Return the other kernels whose functions one kernel's source, or a header of it, names."""
    texts, waiting = {}, [RUNTIME / "src" / f"{name}.c"]
    while waiting:
        path = waiting.pop()
        if path.name not in texts:
            texts[path.name] = path.read_text()
            names = INCLUDED.findall(texts[path.name])
            waiting += [RUNTIME / "include" / header for header in names if "oplib" not in header]
    # a line that begins without an indent declares or defines; the public headers do nothing else
    inside = (line for text in texts.values() for line in COMMENT.sub("", text).splitlines())
    used = {name for line in inside if line[:1] == " " for name in USED.findall(line)}
    return frozenset(stem for function, stem in _definitions().items() if function in used)


@cache
def _definitions() -> dict[str, str]:
    """Return the kernel, by the stem of its source, that defines each function."""
    return {
        function: path.stem
        for path in sorted((RUNTIME / "src").glob("*.c"))
        for function in DEFINED.findall(COMMENT.sub("", path.read_text()))
    }


@cache
def runtime_stems() -> frozenset[str]:
    """Return the names of all files of the runtime, without their endings."""
    return frozenset(path.stem for path in RUNTIME.rglob("*") if path.is_file())
