"""Pictures resized in C are the images that training sees, byte for byte."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcuformer.data.preprocessing import Preprocessing

RUNTIME = Path(__file__).resolve().parents[3] / "oplib" / "runtime"
FLAGS = ["-std=c99", "-O1", "-fPIC", "-shared", "-fsanitize=undefined", "-fno-sanitize-recover"]
CROPS, RESIZES = ("stretch", "center"), ("box", "bilinear", "bicubic")  # as the header numbers them
OK, WRONG_SIZE, WRONG_ROWS = 0, -1, -2
UNTOUCHED = 0xA5
Rows = Callable[..., tuple[int, np.ndarray]]


@pytest.fixture(scope="module")
def rows_of(host_tools: None, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """Return a function that makes rows of an image; with the undefined-behaviour sanitizer."""
    library = tmp_path_factory.mktemp("picture") / "picture.so"
    source = RUNTIME / "support" / "picture.c"
    include = f"-I{RUNTIME / 'include'}"
    subprocess.run(["cc", *FLAGS, include, str(source), "-o", str(library)], check=True)
    loaded = ctypes.CDLL(str(library))

    def rows_of(
        pixels: np.ndarray,
        pre: Preprocessing,
        first: int = 0,
        count: int | None = None,
        size: tuple[int, int] | None = None,
    ) -> tuple[int, np.ndarray]:
        width, height = size or (pixels.shape[1], pixels.shape[0])
        number = pre.img_size if count is None else count
        rows = np.full((max(number, 0), pre.img_size, pre.in_chans), UNTOUCHED, np.uint8)
        settings = (pre.img_size, pre.in_chans, pre.value_max)
        settings += (CROPS.index(pre.crop), RESIZES.index(pre.resize))
        function = getattr(loaded, f"oplib_rows_from_rgb{888 if pixels.ndim == 3 else 565}")
        to, start = rows.ctypes.data, np.ascontiguousarray(pixels)
        params = (ctypes.c_int32 * 5)(*settings)
        status = function(
            ctypes.c_void_p(to),
            first,
            number,
            ctypes.c_void_p(start.ctypes.data),
            width,
            height,
            params,
        )
        return status, rows

    return rows_of


def settings(img_size: int, channel_order: str = "RGB", **others: object) -> Preprocessing:
    channels = (0.5,) * len(channel_order)
    named = {"img_size": img_size, "channel_order": channel_order, "mean": channels}
    return Preprocessing.parse(named | {"std": channels} | others)


def random_settings(rng: np.random.Generator, resize: str, img_size: int) -> Preprocessing:
    order, crop = rng.choice(["L", "RGB"]), rng.choice(CROPS)
    value_max = int(rng.choice([7, 16, 255]))
    return settings(img_size, str(order), value_max=value_max, crop=str(crop), resize=resize)


def random_picture(rng: np.random.Generator) -> np.ndarray:
    """Return (H, W, 3) of 1 to 400 pixels a side: noise, black and white, or a ramp."""
    width, height = np.exp(rng.uniform(0, np.log(401), 2)).astype(int)
    kind = rng.integers(3)
    if kind == 2:
        ramp = np.add.outer(np.linspace(0, 200, height), np.linspace(0, 55, width))
        return np.stack([ramp, 255 - ramp, ramp[::-1]], axis=-1).astype(np.uint8)
    noise = rng.integers(0, 256, (height, width, 3))
    return (noise if kind == 0 else noise // 128 * 255).astype(np.uint8)


@pytest.mark.parametrize("resize", ["bilinear", "bicubic"])
def test_bytes_are_those_of_training(rows_of: Rows, resize: str) -> None:
    rng, different, total = np.random.default_rng(0), 0, 0
    for _ in range(300):
        picture = random_picture(rng)
        pre = random_settings(rng, resize, int(np.exp(rng.uniform(0, np.log(100)))))
        expected = pre.read_picture(Image.fromarray(picture))
        status, rows = rows_of(picture, pre)
        apart = np.abs(rows.astype(int) - expected)
        assert status == OK
        assert apart.max() <= 1
        different, total = different + np.count_nonzero(apart), total + apart.size
    assert different <= 1e-5 * total


def test_a_box_whose_edges_are_exact_in_floating_point(rows_of: Rows) -> None:
    """For other sizes Pillow rounds an edge on a pixel's centre to either side."""
    rng = np.random.default_rng(1)
    for _ in range(100):
        picture, side = random_picture(rng), 2 ** int(rng.integers(7))
        pre = random_settings(rng, "box", side)
        expected = pre.read_picture(Image.fromarray(picture))
        assert np.array_equal(rows_of(picture, pre)[1], expected)


def test_largest_and_smallest_pictures(rows_of: Rows) -> None:
    rng = np.random.default_rng(2)
    for width, height, side in ((4096, 3, 5), (2, 4096, 7), (4096, 1, 1), (1, 1, 512)):
        picture = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
        for resize in ("bilinear", "bicubic"):
            pre = settings(side, "L", resize=resize)
            expected = pre.read_picture(Image.fromarray(picture))
            status, rows = rows_of(picture, pre)
            assert status == OK
            assert np.abs(rows.astype(int) - expected).max() <= 1


def test_a_picture_file_is_cropped_and_resized_in_the_same_order(
    rows_of: Rows, tmp_path: Path
) -> None:
    picture = random_picture(np.random.default_rng(3))
    Image.fromarray(picture).save(tmp_path / "picture.png")
    for order in ("L", "RGB"):
        pre = settings(24, order, value_max=16, crop="center", resize="bicubic")
        assert np.array_equal(rows_of(picture, pre)[1], pre.read_image(tmp_path / "picture.png"))


def test_five_and_six_bits_become_eight(rows_of: Rows) -> None:
    """All 65,536 colours, at their own size, so that nothing is resized."""
    words = np.arange(1 << 16, dtype=np.uint16).reshape(256, 256)
    red, green, blue = (words >> 11).astype(int), (words >> 5 & 63).astype(int), words % 32
    expected = np.stack(
        [red * 8 + red // 4, green * 4 + green // 16, blue * 8 + blue // 4], axis=-1
    )
    status, rows = rows_of(words, settings(256))
    assert status == OK
    assert np.array_equal(rows, expected)


def test_rows_do_not_depend_on_how_they_are_asked_for(rows_of: Rows) -> None:
    rng = np.random.default_rng(4)
    picture = rng.integers(0, 256, (97, 41, 3)).astype(np.uint8)
    for resize in ("bilinear", "bicubic"):
        pre = settings(30, resize=resize)
        whole = rows_of(picture, pre)[1]
        for strip in (1, 7, 30):
            parts = [
                rows_of(picture, pre, first, min(strip, 30 - first))[1]
                for first in range(0, 30, strip)
            ]
            assert np.array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize(
    ("first", "count", "size", "status"),
    [
        (0, 8, (0, 9), WRONG_SIZE),
        (0, 8, (9, 0), WRONG_SIZE),
        (0, 8, (4097, 1), WRONG_SIZE),
        (0, 8, (1, -5), WRONG_SIZE),
        (-1, 2, (9, 9), WRONG_ROWS),
        (1, 8, (9, 9), WRONG_ROWS),
        (0, -1, (9, 9), WRONG_ROWS),
        (2**31 - 1, 8, (9, 9), WRONG_ROWS),
        (8, 0, (9, 9), OK),
    ],
)
def test_what_cannot_be_is_refused_before_a_byte_is_written(
    rows_of: Rows, first: int, count: int, size: tuple[int, int], status: int
) -> None:
    picture = np.zeros((9, 9, 3), np.uint8)
    found, rows = rows_of(picture, settings(8), first, count, size)
    assert found == status
    assert np.all(rows == UNTOUCHED)
