"""The runtime's sources: one style, no warnings, one place for compilers, ready for C++."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from oplib.target.kernel_library import STRICT
from oplib.target.linker import CPU_FLAGS

ROOT = Path(__file__).resolve().parents[3]
RUNTIME = ROOT / "oplib" / "runtime"
INCLUDE = f"-I{RUNTIME / 'include'}"
WARNINGS = STRICT.split()
C_FLAGS = ["-std=c99", "-O2", *WARNINGS]
COMPILERS = {
    "gcc": ["gcc"],
    "clang": ["clang"],
    **{core: ["arm-none-eabi-gcc", *flags.split()] for core, flags in CPU_FLAGS.items()},
}
PUBLIC = (
    *sorted(path.name for path in (RUNTIME / "include").glob("oplib*.h")),
    "port.h",
    "protocol.h",
    "semihosting.h",
)


def need(program: str) -> None:
    """Skip, naming the program, if it is missing."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} not found")


def kernels() -> list[Path]:
    return sorted([*(RUNTIME / "src").glob("*.c"), *(RUNTIME / "support").glob("*.c")])


@pytest.mark.usefixtures("host_tools")
def test_sources_have_the_style_of_clang_format() -> None:
    need("clang-format")
    sources = [*RUNTIME.rglob("*.[ch]"), *(ROOT / "tools").glob("*.[ch]")]
    command = ["clang-format", "--dry-run", "-Werror", *map(str, sorted(sources))]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[:2000]
    for source in sources:  # clang-format leaves comments alone
        assert max(map(len, source.read_text().splitlines())) <= 100, source


@pytest.mark.usefixtures("host_tools")
@pytest.mark.parametrize("name", COMPILERS)
def test_kernels_compile_without_a_warning(name: str) -> None:
    need(COMPILERS[name][0])
    command = [*COMPILERS[name], *C_FLAGS, INCLUDE, "-fsyntax-only", *map(str, kernels())]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[:2000]


@pytest.mark.usefixtures("host_tools")
@pytest.mark.parametrize("compiler", [["arm-none-eabi-gcc"], ["clang", "--target=arm-none-eabi"]])
def test_words_are_no_calls_without_a_library(compiler: list[str], tmp_path: Path) -> None:
    need(compiler[0])
    need("arm-none-eabi-objdump")
    flags = [*CPU_FLAGS["cortex-m7"].split(), "-std=c99", "-O2", "-ffreestanding", INCLUDE]
    kernel, compiled = RUNTIME / "src" / "tile_layer_norm_s8.c", tmp_path / "kernel.o"
    subprocess.run([*compiler, *flags, "-c", str(kernel), "-o", str(compiled)], check=True)
    command = ["arm-none-eabi-objdump", "-dr", str(compiled)]
    code = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "<oplib_tile_layer_norm_s8>:" in code
    assert "memcpy" not in code


def test_compilers_differ_in_isa_h_alone() -> None:
    """Builtins, attributes, inline assembly and predefined macros begin with two underscores."""
    headers = sorted((RUNTIME / "include").glob("*.h"))
    assert len(headers) > 10
    assert len(kernels()) > 40
    found = {}
    for source in [*headers, *kernels()]:
        names = set(re.findall(r"\b__\w+", source.read_text())) - {"__cplusplus"}
        if names:
            found[source.name] = names
    assert set(found) == {"isa.h"}


@pytest.mark.usefixtures("host_tools")
@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_public_headers_are_cpp(compiler: str, tmp_path: Path) -> None:
    need(compiler)
    source = tmp_path / "application.cpp"
    source.write_text("".join(f'#include "{name}"\n' for name in PUBLIC))
    port = [f"-I{RUNTIME / 'port' / name}" for name in ("cortex_m", "app")]
    command = [compiler, "-std=c++17", *WARNINGS, INCLUDE, *port, "-fsyntax-only", str(source)]
    subprocess.run(command, check=True)


@pytest.mark.usefixtures("host_tools")
@pytest.mark.parametrize("header", [path.name for path in (RUNTIME / "include").glob("*.h")])
def test_headers_stand_alone(header: str, tmp_path: Path) -> None:
    need("gcc")
    source = tmp_path / "alone.c"
    source.write_text(f'#include "{header}"\n#include "{header}"\ntypedef int not_empty;\n')
    flags = [flag for flag in C_FLAGS if flag != "-O2"]
    subprocess.run(["gcc", *flags, INCLUDE, "-fsyntax-only", str(source)], check=True)
