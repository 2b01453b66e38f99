"""Picture files as people see them: upright, opaque, 8 bits per channel.

Only the formats of :data:`FORMATS` are decoded, whatever a file is called. What is done to it:

* The picture is turned by the orientation in its EXIF data or XMP; damaged ones count as none.
* Transparent parts show a white background.
* Grey of 16 bits becomes ``round(value / 257)``. Colours of 16 bits keep their high byte, as Pillow
  decodes them. Floating-point pixels, which have no defined range, are refused.
* Palettes, CMYK and other colour spaces become RGB, as Pillow converts them; colour profiles are
  not applied.
* Of an animation, the first frame counts.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mcuformer.data.images import is_regular_file, reason
from mcuformer.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".webp")
FORMATS = ("BMP", "JPEG", "PNG", "PPM", "WEBP")
MAX_PIXELS = 89_478_485  # Pillow's limit, above which it warns of a decompression bomb
TOO_MANY = f"it has more than {MAX_PIXELS:,} pixels"
ORIENTATION = 0x0112  # tag of EXIF
WHITE = 255
WIDE_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")


def read_picture_file(path: Path) -> Picture:
    """Return the picture in a file, upright, in mode ``L`` or ``RGB``.

    Raises:
        DataError: the file is missing or damaged, has another format or too many pixels.
    """
    from PIL import Image

    _check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of bombs, which are refused, and of damaged metadata
            with Image.open(path, formats=FORMATS) as picture:
                _check_pixels(picture.size)
                picture.load()
                return upright(picture)
    except Exception as error:  # Pillow's decoders raise whatever they meet in a damaged file
        raise _unreadable(path, error) from error


def read_picture_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of the picture in a file, upright, from the file's header.

    Raises:
        DataError: the file is missing or damaged, has another format or too many pixels.
    """
    from PIL import Image

    _check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as picture:
                _check_pixels(picture.size)
                width, height = picture.size
                return (height, width) if _orientation(picture) > 4 else (width, height)
    except Exception as error:  # as above
        raise _unreadable(path, error) from error


def upright(picture: Picture) -> Picture:
    """Return a decoded picture turned by its orientation, opaque, in mode ``L`` or ``RGB``.

    Raises:
        DataError: its pixels are floating-point numbers.
    """
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    turn = turns.get(_orientation(picture))
    opaque = _opaque(picture)
    return opaque if turn is None else opaque.transpose(turn)


def _opaque(picture: Picture) -> Picture:
    from PIL import Image

    if picture.mode == "F":
        raise DataError("floating-point pixels have no defined range")
    if picture.mode in WIDE_MODES:
        wide = np.asarray(picture).astype(np.int64)
        narrow = (np.clip(wide, 0, 65535) + 128) // 257
        if isinstance(transparent := picture.info.get("transparency"), int):
            narrow[wide == transparent] = WHITE
        return Image.fromarray(narrow.astype(np.uint8))
    if picture.has_transparency_data:
        colours = picture.convert("RGBA")
        canvas = Image.new("RGBA", picture.size, (WHITE, WHITE, WHITE, 255))
        mode = "L" if picture.mode in ("L", "LA", "La", "1") else "RGB"
        return Image.alpha_composite(canvas, colours).convert(mode)
    return picture.convert("L" if picture.mode in ("L", "1") else "RGB")


def _orientation(picture: Picture) -> int:
    """Return the EXIF orientation, 1 to 8; 1 (upright) if there is none that can be read."""
    try:
        value = picture.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged metadata: viewers show the picture as it is stored
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _check_file(path: Path) -> None:
    if not is_regular_file(path):
        raise DataError("no such image file", where=path)


def _check_pixels(size: tuple[int, int]) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise DataError(TOO_MANY)


def _unreadable(path: Path, error: Exception) -> DataError:
    from PIL import UnidentifiedImageError
    from PIL.Image import DecompressionBombError

    fault = reason(error)
    if isinstance(error, DecompressionBombError):  # raised at twice the limit
        fault = TOO_MANY
    if isinstance(error, UnidentifiedImageError):
        fault = f"damaged, or none of {', '.join(FORMATS)}"
    return DataError(f"not a readable image: {fault}", where=path)
