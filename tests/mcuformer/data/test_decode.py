"""Pictures as people see them; every expected pixel is computed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcuformer.data.decode import MAX_PIXELS, read_picture_file, read_picture_size
from mcuformer.errors import DataError

# 3 x 2 pixels that an eye would see as [[0, 1, 2], [3, 4, 5]], as a camera held in eight ways
# stores them (EXIF 2.3, "Orientation": where row 0 and column 0 are)
UPRIGHT = np.arange(6).reshape(2, 3)
STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.T,
    6: np.rot90(UPRIGHT),
    7: UPRIGHT[::-1, ::-1].T,
    8: np.rot90(UPRIGHT, -1),
}


@pytest.mark.parametrize("suffix", ["png", "webp", "jpg"])
@pytest.mark.parametrize("orientation", STORED)
def test_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    stored = np.kron(STORED[orientation] * 40, np.ones((16, 16))).astype(np.uint8)
    path, exif = tmp_path / f"x.{suffix}", Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(stored).save(path, exif=exif, **options)
    seen = np.asarray(read_picture_file(path).convert("L"))[8::16, 8::16]
    assert np.abs(seen.astype(int) - UPRIGHT * 40).max() <= 2  # JPEG's loss
    assert read_picture_size(path) == (48, 32)


def test_damaged_metadata_count_as_none(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    Image.new("L", (8, 4)).save(path, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert read_picture_file(path).size == (8, 4)


def test_sixteen_bits(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    wide = np.array([[0, 128, 129, 257], [32768, 65278, 65535, 1000]], np.uint16)
    Image.fromarray(wide).save(path)
    # value / 257: 0.498, 0.502, 1; 127.502, 254.0, 255, 3.89
    assert np.asarray(read_picture_file(path)).tolist() == [[0, 0, 1, 1], [128, 254, 255, 4]]


@pytest.mark.parametrize(
    ("mode", "pixel", "expected"),
    [
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),  # a fifth of black, four fifths of white
        ("LA", (0, 51), 204),
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("L", 7, 7),
        ("1", 1, 255),
    ],
)
def test_modes(tmp_path: Path, mode: str, pixel: object, expected: object) -> None:
    path = tmp_path / "x.png"
    Image.new(mode, (2, 2), pixel).save(path)
    assert read_picture_file(path).getpixel((1, 1)) == expected


def test_palettes_and_cmyk(tmp_path: Path) -> None:
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([9, 9, 9, 40, 50, 60])
    palette.save(tmp_path / "opaque.png")
    palette.save(tmp_path / "clear.png", transparency=1)
    Image.new("CMYK", (8, 8), (0, 0, 0, 0)).save(tmp_path / "ink.jpg")  # no ink: white
    pixels = [read_picture_file(path).getpixel((0, 0)) for path in sorted(tmp_path.iterdir())]
    assert pixels == [(255, 255, 255), (255, 255, 255), (40, 50, 60)]


def test_the_first_frame_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), (value, 0, 0)) for value in (10, 200)]
    for suffix, options in (("webp", {"lossless": True}), ("png", {})):
        path = tmp_path / f"x.{suffix}"
        frames[0].save(path, save_all=True, append_images=frames[1:], **options)
        assert read_picture_file(path).getpixel((0, 0)) == (10, 0, 0)


def test_refusals(tmp_path: Path) -> None:
    tiff, floats, cut = tmp_path / "a.jpg", tmp_path / "b.ppm", tmp_path / "c.png"
    Image.new("RGB", (4, 4)).save(tiff, "TIFF")
    floats.write_bytes(b"Pf\n1 1\n-1.0\n" + np.float32(0.5).tobytes())
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    Image.fromarray(noise).save(cut)
    cut.write_bytes(cut.read_bytes()[:2000])
    for path, message in (
        (tiff, "damaged, or none of BMP, JPEG"),
        (floats, "floating-point pixels"),
        (cut, "truncated"),
        (tmp_path / "absent.png", "no such image"),
        (tmp_path, "no such image"),
        (tmp_path / "x\0y.png", "no such image"),
    ):
        with pytest.raises(DataError, match=message):
            read_picture_file(path)


def test_too_many_pixels(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.new("1", (MAX_PIXELS // 8000 + 1, 8000)).save(path)
    for read in (read_picture_file, read_picture_size):
        with pytest.raises(DataError, match="it has more than 89,478,485 pixels"):
            read(path)
