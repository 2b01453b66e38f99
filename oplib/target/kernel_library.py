"""Build a firmware folder, with kernels that are compiled once and kept for the next build.

Every firmware of one version holds the same kernels. The library that a build makes of them is kept
in the user's cache, named after a digest of all that it depends on. It is linked as the object
files would be, so that the program is the same byte for byte. An entry is the SHA-256 of the
library in hexadecimal, and the library: what is damaged is compiled again.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path

from mcuformer.data.cache import cache_folder
from mcuformer.errors import ArtifactError
from mcuformer.run.artifact import canonical_json, digest, file_digest, write_bytes
from mcuformer.run.folder import writing
from mcuformer.run.progress import say
from oplib.target.tools import run

SOURCES = ("CMakeLists.txt", "src", "include")  # of a firmware folder
VARIABLES = ("CFLAGS", "CPATH", "C_INCLUDE_PATH", "CMAKE_BUILD_TYPE")  # heeded by CMake and gcc
MAX_ENTRIES = 32
DIGEST_LENGTH = 64


def build(
    firmware: Path,
    build_dir: Path,
    compiler: str,
    flags: Mapping[str, str],
    settings: Sequence[str] = (),
    options: Sequence[str] = (),
) -> None:
    """Build a firmware folder with CMake, in a folder that is created if missing.

    Args:
        firmware: firmware folder.
        build_dir: folder of the build.
        compiler: command of the compiler that CMake will take.
        flags: values of CMake's variables on which the kernels' code depends.
        settings: files of the firmware folder on which it depends, besides the kernels.
        options: other options of CMake.

    Raises:
        FirmwareError: the build failed.
        ArtifactError: a file of the firmware folder is missing, or the disk is full.
    """
    folder, source = build_dir.resolve(), firmware.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    entry = cache_folder(None) / "kernels" / f"{_key(source, compiler, flags, settings)}.a"
    kept = folder / "kept_kernels.a"
    known = _take(entry, kept)
    variables = {**flags, "MODEL_KERNELS": str(kept) if known else ""}
    configure = ["cmake", "-S", str(source), "-B", str(folder), *options]
    configure += [f"-D{name}={value}" for name, value in variables.items()]
    run(configure, temporary=folder)
    run(["cmake", "--build", str(folder), "--parallel", "2"], temporary=folder)
    if not known:
        _keep(folder / "libkernels.a", entry)


def _key(firmware: Path, compiler: str, flags: Mapping[str, str], settings: Sequence[str]) -> str:
    """Return the digest of all that the kernels' code depends on."""
    content = {
        "files": {name: file_digest(firmware / name) for name in (*SOURCES, *settings)},
        "compiler": [compiler, run([*shlex.split(compiler), "--version"]).stdout],
        "flags": dict(flags),
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
