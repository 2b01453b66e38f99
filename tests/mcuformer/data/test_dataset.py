from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcuformer.data.dataset import DataConfig, load
from mcuformer.data.preprocessing import Preprocessing
from mcuformer.errors import DataError


def test_digits_are_split_once_and_for_all(digits_config: DataConfig) -> None:
    data = load(digits_config)
    assert (len(data.train), len(data.steering), len(data.test)) == (1151, 287, 359)
    rows = [part.images.reshape(len(part), -1) for part in (data.train, data.steering, data.test)]
    assert sum(row.astype(np.int64).sum() for row in rows) == 561718  # of all 1797 images
    again = load(digits_config)
    assert np.array_equal(data.test.images, again.test.images)
    counts = np.bincount(data.test.labels)
    assert counts.min() >= 34


def test_normalisation_and_padding_by_hand() -> None:
    pre = Preprocessing(
        img_size=2, channel_order="RGB", value_max=255, mean=(0.5, 0.0, 1.0), std=(0.5, 1.0, 2.0)
    )
    pixels = np.array([[[0, 51, 255]]], dtype=np.uint8)
    assert np.allclose(pre.normalize(pixels), [[[-1.0, 0.2, 0.0]]])
    assert pre.pad_value == (128, 0, 255)


def test_pictures_become_raw_pixels(tmp_path: Path) -> None:
    pre = Preprocessing(img_size=8, channel_order="L", value_max=16, mean=(0.5,), std=(0.5,))
    path = tmp_path / "x.png"
    Image.fromarray(np.full((20, 20, 3), 128, dtype=np.uint8)).save(path)
    image = pre.read_image(path)
    assert image.shape == (8, 8, 1)
    assert np.all(image == 8)
    (tmp_path / "y.png").write_text("no picture")
    with pytest.raises(DataError, match=r"y\.png: not a readable image"):
        pre.read_image(tmp_path / "y.png")


def npz_config(path: Path) -> DataConfig:
    pre = Preprocessing(img_size=4, channel_order="L", mean=(0.5,), std=(0.5,))
    return DataConfig(
        name="own", format="npz", root=str(path), img_size=4, num_classes=2, preprocessing=pre
    )


def test_npz_sets(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    images, labels = np.zeros((40, 4, 4), np.uint8), np.arange(40) % 2
    arrays = {"x_train": images, "y_train": labels, "x_test": images[:4], "y_test": labels[:4]}
    np.savez(path, **arrays, classes=np.array(["cat", "dog"]))
    data = load(npz_config(path))
    assert data.class_names == ("cat", "dog")
    assert (len(data.train), len(data.steering), len(data.test)) == (32, 8, 4)

    np.savez(path, **arrays | {"y_train": labels + 1})
    with pytest.raises(DataError, match=r"label out of range .got 1 to 2"):
        load(npz_config(path))
    np.savez(path, **arrays | {"x_train": images.astype(np.float32)})
    with pytest.raises(DataError, match=r"x_train has the wrong form .got float32"):
        load(npz_config(path))
    np.savez(path, **arrays | {"x_train": np.zeros((40, 5, 5), np.uint8)})
    with pytest.raises(DataError, match="another size"):
        load(npz_config(path))
    path.write_bytes(b"PK broken")
    with pytest.raises(DataError, match=r"not a readable \.npz"):
        load(npz_config(path))
    with pytest.raises(DataError, match=r"data\.root: a \.npz file of the data not found"):
        load(npz_config(tmp_path / "absent.npz"))
