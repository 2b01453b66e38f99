"""A network's own functions make of a camera's picture what training made of it."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcuformer.data.preprocessing import Preprocessing
from oplib.codegen.names import Names
from oplib.codegen.picture_c import emit_picture

RUNTIME = Path(__file__).resolve().parents[3] / "oplib" / "runtime"
OK, WRONG_IMAGE = 0, -5
HEADER = """\
#include <stdint.h>
#define DIGITS_IMG_SIZE {pre.img_size}
#define DIGITS_IN_CHANS {pre.in_chans}
#define DIGITS_VALUE_MAX {pre.value_max}
enum {{ DIGITS_OK = 0, DIGITS_WRONG_IMAGE = -5 }};
"""


@pytest.mark.usefixtures("host_tools")
@pytest.mark.parametrize("crop", ["center", "stretch"])
@pytest.mark.parametrize("resize", ["box", "bilinear", "bicubic"])
def test_the_network_knows_its_preprocessing(tmp_path: Path, crop: str, resize: str) -> None:
    pre = Preprocessing.parse(
        {
            "img_size": 8,
            "channel_order": "RGB",
            "value_max": 16,
            "mean": (0.5, 0.5, 0.5),
            "std": (0.5, 0.5, 0.5),
            "crop": crop,
            "resize": resize,
        }
    )
    source, library = tmp_path / "digits_picture.c", tmp_path / "digits.so"
    (tmp_path / "digits.h").write_text(HEADER.format(pre=pre))
    source.write_text(emit_picture(pre, Names("digits"), ["/* head */"]))
    flags = ["-std=c99", "-Wall", "-Wextra", "-fPIC", "-shared", f"-I{RUNTIME / 'include'}"]
    sources = [str(source), str(RUNTIME / "support" / "picture.c")]
    subprocess.run(["cc", *flags, *sources, "-o", str(library)], check=True)
    call = ctypes.CDLL(str(library)).digits_rows_from_rgb888
    picture = np.random.default_rng(0).integers(0, 256, (24, 40, 3)).astype(np.uint8)
    rows = np.zeros((8, 8, 3), np.uint8)
    to, pixels = (ctypes.c_void_p(array.ctypes.data) for array in (rows, picture))
    assert call(to, 0, 8, pixels, 40, 0) == WRONG_IMAGE
    assert call(to, 0, 9, pixels, 40, 24) == WRONG_IMAGE
    assert call(to, 0, 8, pixels, 40, 24) == OK
    assert np.array_equal(rows, pre.read_picture(Image.fromarray(picture)))
