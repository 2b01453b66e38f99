"""How pictures become raw pixels, and raw pixels the network's normalised input.

A picture is decoded as `decode.py` says (upright, opaque, 8 bits), becomes grey or RGB, is cut to
its centre square or stretched, and is resized.

Training, calibration and the firmware see the same pixels: an image is ``uint8`` of shape (H, W, C)
from 0 to `value_max`, and only :meth:`Preprocessing.normalize` turns it into floats. The firmware
takes raw pixels; normalisation is folded into its first layer.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from mcuformer.data.decode import read_picture_file
from mcuformer.data.images import Images
from mcuformer.limits import ImgSize
from mcuformer.value import Value

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Floats = npt.NDArray[np.float32]
CROP_PCT = 0.875  # timm's: share of the resized picture's side that its evaluation crops have


class Preprocessing(Value):
    """How a picture becomes the network's input; carried to the manifest and the C header.

    Args:
        img_size: side of the square image in pixels.
        channel_order: ``L`` (grey) or ``RGB``.
        value_max: largest raw pixel value; the smallest is 0.
        mean: mean per channel, of pixels scaled to [0, 1].
        std: standard deviation per channel, of pixels scaled to [0, 1].
        resize: interpolation by which pictures are resized to `img_size`.
        crop: whether a picture that is not square is stretched, or its centre is cut out.
    """

    img_size: ImgSize
    channel_order: Literal["L", "RGB"]
    value_max: Annotated[int, Field(ge=1, le=255)] = 255
    mean: tuple[Annotated[float, Field(ge=-10.0, le=10.0)], ...]
    std: tuple[Annotated[float, Field(ge=1e-3, le=100.0)], ...]
    resize: Literal["bilinear", "bicubic", "box"] = "bilinear"
    crop: Literal["stretch", "center"] = "stretch"

    @model_validator(mode="after")
    def _check(self) -> Preprocessing:
        for name in ("mean", "std"):
            if len(getattr(self, name)) != self.in_chans:
                raise ValueError(f"{name} needs {self.in_chans} values for {self.channel_order}")
        return self

    @property
    def in_chans(self) -> int:
        """Channels of an image."""
        return len(self.channel_order)

    @property
    def pad_value(self) -> tuple[int, ...]:
        """Raw pixel that padding consists of, per channel: the nearest to the normalised zero."""
        return tuple(
            int(np.clip(np.floor(mean * self.value_max + 0.5), 0, self.value_max))
            for mean in self.mean
        )

    def resized_to(self, img_size: int) -> Preprocessing:
        """Return this preprocessing with images of another size."""
        return self.model_copy(update={"img_size": img_size})

    def normalize(self, images: Images) -> Floats:
        """Return ``(pixel / value_max - mean) / std`` as float32, (..., H, W, C).

        Args:
            images: raw pixels, (..., H, W, C).
        """
        scaled = images.astype(np.float32) / np.float32(self.value_max)
        mean, std = (np.array(values, dtype=np.float32) for values in (self.mean, self.std))
        return (scaled - mean) / std

    def read_image(self, path: Path) -> Images:
        """Read a picture file as raw pixels (H, W, C), with side `img_size`.

        Raises:
            DataError: the file is missing or not a picture.
        """
        return self.read_picture(read_picture_file(path))

    def read_picture(self, picture: Picture) -> Images:
        """Convert a picture to raw pixels (H, W, C), with side `img_size`."""
        return self.resized(self._raw(picture))

    def read_for_crops(self, picture: Picture) -> Images:
        """Convert a picture to raw pixels (h, w, C) from which random crops are cut.

        The aspect is kept, the short side is ``round(img_size / CROP_PCT)``; a picture that is
        smaller keeps its size.
        """
        from PIL import Image

        short = min(picture.size)
        side = min(short, round(self.img_size / CROP_PCT))
        size = (round(picture.width * side / short), round(picture.height * side / short))
        method = Image.Resampling[self.resize.upper()]
        return self._raw(picture.convert(self.channel_order).resize(size, method))

    def _raw(self, picture: Picture) -> Images:
        """Convert a picture to raw pixels (H, W, C) of its own size."""
        pixels = np.asarray(picture.convert(self.channel_order))
        raw = np.floor(np.arange(256) * (self.value_max / 255.0) + 0.5).astype(np.uint8)
        images: Images = raw[pixels].reshape(*pixels.shape[:2], self.in_chans)
        return images

    def to_picture(self, image: Images) -> Picture:
        """Convert a raw image (H, W, C) to an RGB picture, the inverse of :meth:`read_picture`."""
        from PIL import Image

        pixels = np.floor(image * (255.0 / self.value_max) + 0.5).astype(np.uint8)
        return Image.fromarray(pixels[..., 0] if self.in_chans == 1 else pixels).convert("RGB")

    def resized(self, image: Images) -> Images:
        """Resize a raw image (H, W, C) to side `img_size`: its columns, then its rows.

        Pillow 13 chooses the order of both passes by the shape, earlier ones do not; between them,
        values are rounded to bytes. The C in ``oplib_picture.h`` does the same.
        """
        if image.shape[:2] == (self.img_size, self.img_size):
            return image
        from PIL import Image

        if self.crop == "center":
            side = min(image.shape[:2])
            top, left = ((length - side) // 2 for length in image.shape[:2])
            image = image[top : top + side, left : left + side]
        size, method = self.img_size, Image.Resampling[self.resize.upper()]
        planes = [Image.fromarray(image[..., c]) for c in range(image.shape[-1])]
        columns = [plane.resize((size, plane.height), method) for plane in planes]
        rows = [np.asarray(plane.resize((size, size), method)) for plane in columns]
        return np.stack(rows, axis=-1)
