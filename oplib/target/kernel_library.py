"""Build an exported network, with operators that are compiled once and kept for the next build.

Every network of one version has the same operators. The library of all of them is kept in the
user's cache, named after a digest of all that it depends on; a program takes from it what its own
folder of operators would give it, in the same order. An entry is the SHA-256 of the library in
hexadecimal, and the library: what is damaged is compiled again.
"""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from mcuformer.data.cache import cache_folder
from mcuformer.errors import ArtifactError
from mcuformer.run.artifact import canonical_json, digest, file_digest, write_bytes
from mcuformer.run.folder import writing
from mcuformer.run.progress import say
from oplib.codegen.runtime import OPERATORS_FOLDER, RUNTIME
from oplib.target.tools import run

SOURCES = ("CMakeLists.txt", "include", "src", "support")  # of the runtime
VARIABLES = ("CFLAGS", "CPATH", "C_INCLUDE_PATH", "CMAKE_BUILD_TYPE")  # heeded by CMake and gcc
STRICT = (
    "-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wcast-qual -Wundef -Wshadow -Werror"
)
COMPONENT = "firmware"  # beside the ports
MAX_ENTRIES = 32
DIGEST_LENGTH = 64


@dataclass(frozen=True)
class Compilation:
    """How a network's operators are compiled.

    Args:
        compiler: command of the compiler that CMake will take.
        flags: flags of the processor, or of sanitizers.
        definitions: macros, separated by spaces.
        optimize: optimisation flags of compiler and linker.
        options: other options of CMake, for the operators and for the program.
        settings: options of CMake for the program alone.
    """

    compiler: str
    flags: str
    definitions: str
    optimize: str
    options: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


def setting(file: Path, name: str) -> str:
    """Return the value that a generated file of CMake's sets.

    Raises:
        ArtifactError: the file is missing, or sets no such value.
    """
    try:
        found = re.search(rf"^set\({name} (.*)\)$", file.read_text(), re.MULTILINE)
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"cannot be read: {error}", where=file) from error
    if found is None:
        raise ArtifactError(f"does not set {name}", where=file)
    return found[1]


def build(folder: Path, project: str, build_dir: Path, compilation: Compilation) -> None:
    """Build a program of an exported network with CMake.

    Args:
        folder: what an export wrote.
        project: folder of the program's CMakeLists.txt in it.
        build_dir: folder of the build, created if missing.
        compilation: how it is compiled.

    Raises:
        FirmwareError: the build failed.
        ArtifactError: a file is missing, or the disk is full.
    """
    place, source = build_dir.resolve(), folder.resolve()
    own = _unchanged(source / COMPONENT / OPERATORS_FOLDER)
    library = str(operators(place, compilation)) if own else ""
    variables = {"OPLIB_LIBRARY": library, "OPLIB_OPTIMIZE": compilation.optimize}
    options = (*compilation.options, *compilation.settings)
    _cmake(source / project, place, options, variables)


def operators(build_dir: Path, compilation: Compilation) -> Path:
    """Return the library of all operators of this version, from the cache or compiled.

    Args:
        build_dir: folder for it, created if missing.
        compilation: how it is compiled.

    Raises:
        FirmwareError: the build failed.
        ArtifactError: the disk is full.
    """
    build_dir.mkdir(parents=True, exist_ok=True)
    kept = build_dir / "liboplib.a"
    entry = cache_folder(None) / "kernels" / f"{_key(compilation)}.a"
    if not _take(entry, kept):
        compiled = build_dir / "operators"
        _compile(compiled, compilation)
        _keep(compiled / "liboplib.a", entry)
        _copy(compiled / "liboplib.a", kept)
    return kept


def _compile(place: Path, compilation: Compilation) -> None:
    """Compile all operators of this version."""
    place.mkdir(exist_ok=True)
    variables = {
        "CMAKE_C_FLAGS": f"{compilation.flags} {STRICT}".strip(),
        "OPLIB_DEFINITIONS": ";".join(compilation.definitions.split()),
        "OPLIB_OPTIMIZE": compilation.optimize,
    }
    _cmake(RUNTIME, place, compilation.options, variables)


def _cmake(source: Path, place: Path, options: Sequence[str], variables: dict[str, str]) -> None:
    configure = ["cmake", "-S", str(source), "-B", str(place), *options]
    configure += [f"-D{name}={value}" for name, value in variables.items()]
    run(configure, temporary=place)
    run(["cmake", "--build", str(place), "--parallel", "2"], temporary=place)


def _unchanged(operators: Path) -> bool:
    """Return whether a folder of operators holds nothing but this version's, as they are."""
    files = [path for path in operators.rglob("*") if path.is_file()]
    return bool(files) and all(
        path.read_bytes() == _runtime_file(path.relative_to(operators).as_posix()) for path in files
    )


def _runtime_file(name: str) -> bytes | None:
    path = RUNTIME / name
    return path.read_bytes() if path.is_file() else None


def _key(compilation: Compilation) -> str:
    """Return the digest of all that the operators' code depends on."""
    version = run([*shlex.split(compilation.compiler), "--version"]).stdout
    content = {
        "files": {name: file_digest(RUNTIME / name) for name in SOURCES},
        "compiler": [compilation.compiler, version],
        "flags": [compilation.flags, compilation.definitions, compilation.optimize],
        "environment": {name: os.environ.get(name) for name in VARIABLES},
    }
    return digest(canonical_json(content).encode())[:32]


def _take(entry: Path, library: Path) -> bool:
    """Copy an entry's library to the build, because another process may remove the entry.

    Returns:
        Whether there is such an entry, this user's and whole.

    Raises:
        ArtifactError: the folder of the build is full.
    """
    try:
        with entry.open("rb") as file:
            own = os.fstat(file.fileno()).st_uid == os.getuid()
            said, content = file.read(DIGEST_LENGTH), file.read()
        if not own or sha256(content).hexdigest().encode() != said:
            return False
    except OSError:
        return False
    _touch(entry)
    with writing(library):
        library.write_bytes(content)
    return True


def _copy(library: Path, kept: Path) -> None:
    with writing(kept):
        kept.write_bytes(library.read_bytes())


def _keep(library: Path, entry: Path) -> None:
    """Write an entry and remove those that were used least recently; say so if it cannot be."""
    content = library.read_bytes()
    try:
        write_bytes(entry, sha256(content).hexdigest().encode() + content)
        _touch(entry)
    except ArtifactError as error:
        _say_once(f"kernels are compiled for every build: {error}")
        return
    with suppress(OSError):  # another process removes the same ones
        entries = sorted(entry.parent.glob("*.a"), key=lambda path: path.stat().st_mtime)
        for old in entries[:-MAX_ENTRIES]:
            old.unlink()


def _touch(entry: Path) -> None:
    """Note that an entry was used now; the file system's own clock may tick every few ms only."""
    now = time.time_ns()
    with suppress(OSError):  # a cache that cannot be written to
        os.utime(entry, ns=(now, now))


@cache
def _say_once(text: str) -> None:
    """Print one line, the first time."""
    say(text)
