"""Run an exported network on this computer, with the same C in a shared library."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mcuformer.errors import FirmwareError
from mcuformer.run.scratch import scratch
from oplib.ops.base import Array
from oplib.target import kernel_library
from oplib.target.kernel_library import Compilation
from oplib.target.linker import OPTIMIZE
from oplib.target.tools import require

TOOLS = ("cmake", "cc")


def build(folder: Path, build_dir: Path, sanitize: str = "", optimize: str = OPTIMIZE) -> Path:
    """Compile an exported network into a shared library and return its path.

    Args:
        folder: what :func:`oplib.target.firmware.write_firmware` wrote.
        build_dir: folder of the build, created if missing.
        sanitize: names of sanitizers, separated by commas.
        optimize: optimisation flags of compiler and linker.

    Raises:
        ToolMissingError: CMake or the compiler is not installed.
        FirmwareError: the build failed.
    """
    require(*TOOLS)
    kernel_library.build(folder, "port/host", build_dir, compilation(sanitize, optimize))
    return build_dir / "libnetwork.so"


def compilation(sanitize: str = "", optimize: str = OPTIMIZE) -> Compilation:
    """Return how operators are compiled for this computer.

    Args:
        sanitize: names of sanitizers, separated by commas.
        optimize: optimisation flags of compiler and linker.
    """
    flags = f"-fsanitize={sanitize} -fno-sanitize-recover -g" if sanitize else ""
    return Compilation(
        compiler=os.environ.get("CC") or "cc",
        flags=f"-fPIC {flags}".strip(),
        definitions="",
        optimize=optimize,
        settings=(f"-DMODEL_SANITIZE={sanitize}",),
    )


def run_images(library: Path, images: Array, num_classes: int) -> Array:
    """Return the int32 logits (B, K) of raw uint8 images (B, H, W, C).

    Raises:
        FirmwareError: the network refused an image, with its status.
    """
    raw = np.ascontiguousarray(images, dtype=np.uint8)
    logits = np.empty((len(raw), num_classes), dtype=np.int32)
    with loaded(library) as network:
        for image, row in zip(raw, logits, strict=True):
            places = (ctypes.c_void_p(array.ctypes.data) for array in (image, row))
            refuse_status(network.host_run(*places), library)
    return logits


def selftest(library: Path) -> None:
    """Run the network's own test.

    Raises:
        FirmwareError: it failed, with its status.
    """
    with loaded(library) as network:
        refuse_status(network.host_selftest(), library)


def refuse_status(status: int, library: Path) -> None:
    """Refuse any status but that of success.

    Raises:
        FirmwareError: with the status.
    """
    if status != 0:
        raise FirmwareError("the network returned a status", where=library, got=status, expected=0)


@contextmanager
def loaded(library: Path) -> Iterator[ctypes.CDLL]:
    """Load a private copy, because the dynamic loader returns an older build of the same path."""
    with scratch("host") as directory:
        yield ctypes.CDLL(str(shutil.copy(library, directory)))
