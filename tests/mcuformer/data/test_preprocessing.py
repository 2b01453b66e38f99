"""From a picture to raw pixels, and from raw pixels to numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.errors import ConfigError, DataError


def test_normalisation_by_hand(preprocessing: Preprocessing) -> None:
    """Pixels up to 16, mean 0.4, deviation 0.5; padding is the pixel nearest to the mean: 6.4."""
    pixels = np.array([[[0], [16]]], np.uint8)
    assert preprocessing.normalize(pixels).ravel() == pytest.approx([-0.8, 1.2])
    assert preprocessing.pad_value == (6,)


def test_a_picture_survives_its_own_inverse(preprocessing: Preprocessing) -> None:
    image = np.random.default_rng(0).integers(0, 17, (8, 8, 1)).astype(np.uint8)
    assert np.array_equal(preprocessing.read_picture(preprocessing.to_picture(image)), image)


def test_the_centre_is_cut_out() -> None:
    """Of 2 x 6 pixels the middle columns 2 and 3 are kept."""
    pre = Preprocessing(img_size=2, channel_order="L", mean=(0.0,), std=(1.0,), crop="center")
    wide = np.arange(12, dtype=np.uint8).reshape(2, 6, 1)
    assert pre.resized(wide)[..., 0].tolist() == [[2, 3], [8, 9]]


def test_what_is_no_picture(preprocessing: Preprocessing, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.png: no such image"):
        preprocessing.read_image(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"b\.png: not a readable image"):
        preprocessing.read_image(tmp_path / "b.png")
    Image.new("RGB", (3, 5)).save(tmp_path / "c.png")
    assert preprocessing.read_image(tmp_path / "c.png").shape == (8, 8, 1)


def test_crops_are_cut_from_larger_pictures() -> None:
    """The short side becomes round(28 / 0.875) = 32, the aspect stays; nothing is enlarged."""
    pre = Preprocessing(img_size=28, channel_order="RGB", mean=(0.0,) * 3, std=(1.0,) * 3)
    shapes = [pre.read_for_crops(Image.new("L", size)).shape for size in ((64, 96), (31, 20))]
    assert shapes == [(48, 32, 3), (20, 31, 3)]


def test_a_value_per_channel() -> None:
    with pytest.raises(ConfigError, match="mean needs 3 values for RGB"):
        Preprocessing.parse(
            {"img_size": 8, "channel_order": "RGB", "mean": [0.5], "std": [1.0, 1.0, 1.0]}
        )
