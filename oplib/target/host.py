"""Run an exported network on this computer, with the same C in a shared library."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mcuformer.run.scratch import scratch
from oplib.ops.base import Array
from oplib.target import kernel_library
from oplib.target.linker import OPTIMIZE
from oplib.target.tools import require

TOOLS = ("cmake", "cc")


def build(firmware: Path, build_dir: Path, sanitize: str = "", optimize: str = OPTIMIZE) -> Path:
    """Compile a firmware folder into a shared library and return its path.

    Args:
        firmware: firmware folder.
        build_dir: folder of the build, created if missing.
        sanitize: names of sanitizers, separated by commas.
        optimize: optimisation flags of compiler and linker.

    Raises:
        ToolMissingError: CMake or the compiler is not installed.
        FirmwareError: the build failed.
    """
    require(*TOOLS)
    flags = {"MODEL_TARGET": "host", "MODEL_SANITIZE": sanitize, "MODEL_OPTIMIZE": optimize}
    kernel_library.build(firmware, build_dir, os.environ.get("CC") or "cc", flags)
    return build_dir / "libmodel.so"


def run_images(library: Path, images: Array, num_classes: int) -> Array:
    """Return the int32 logits (B, K) of raw uint8 images (B, H, W, C)."""
    raw = np.ascontiguousarray(images, dtype=np.uint8)
    logits = np.empty((len(raw), num_classes), dtype=np.int32)
    with _loaded(library) as model:
        fetches = hasattr(model, "host_set_image")
        for index, image in enumerate(raw):
            if fetches:
                model.host_set_image(ctypes.c_void_p(image.ctypes.data))
            else:
                ctypes.memmove(model.model_input(), image.ctypes.data, image.nbytes)
            ctypes.memmove(logits[index].ctypes.data, model.model_run(), logits[index].nbytes)
    return logits


@contextmanager
def _loaded(library: Path) -> Iterator[ctypes.CDLL]:
    """Load a private copy, because the dynamic loader returns an older build of the same path."""
    with scratch("host") as directory:
        copy = shutil.copy(library, directory)
        model = ctypes.CDLL(str(copy))
        if hasattr(model, "model_input"):
            model.model_input.restype = ctypes.c_void_p
        model.model_run.restype = ctypes.c_void_p
        yield model
