"""What an .npz file may hold, and what it may not."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcuformer.data.dataset import DataConfig, load
from mcuformer.data.npz_reader import npz_form
from mcuformer.data.preprocessing import Preprocessing
from mcuformer.errors import DataError

IMAGES, LABELS = np.zeros((40, 4, 4), np.uint8), np.arange(40) % 2
ARRAYS = {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:4], "y_test": LABELS[:4]}
NAMES = np.array(["cat", "dog"])


@pytest.fixture
def config(tmp_path: Path, data_config: Callable[..., DataConfig]) -> DataConfig:
    pre = Preprocessing(img_size=4, channel_order="L", mean=(0.5,), std=(0.5,))
    return data_config("npz", tmp_path / "set.npz", pre, num_classes=2)


def test_a_set(config: DataConfig) -> None:
    np.savez(config.path, **ARRAYS, classes=NAMES)
    data = load(config)
    assert data.class_names == ("cat", "dog")
    assert (len(data.train), len(data.steering), len(data.test)) == (32, 8, 4)
    np.savez_compressed(config.path, **ARRAYS | {"x_train": np.asfortranarray(IMAGES)})
    assert load(config).class_names == ("0", "1")
    assert npz_form(config.path) == (2, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_train": LABELS + 1}, r"label out of range .got 1 to 2"),
        ({"y_train": LABELS.astype(np.float64)}, r"y_train has the wrong form .got float64"),
        ({"y_train": LABELS.astype(np.complex64)}, "y_train has the wrong form"),
        ({"y_train": LABELS.astype(bool)}, "y_train has the wrong form"),
        ({"y_train": LABELS.astype(str)}, "y_train has the wrong form"),
        ({"y_train": np.eye(2, dtype=int)[LABELS]}, "with labels \\(40, 2\\)"),
        ({"y_train": LABELS.astype(object)}, "y_train holds Python objects"),
        ({"y_train": np.full(40, 2**63, np.uint64)}, "label out of range"),
        ({"y_train": LABELS * 0}, "class '1' has too few images in the training part"),
        ({"y_test": LABELS[:4] * 0}, "class '1' has too few images in the test part"),
        ({"x_train": IMAGES.astype(np.float32)}, r"x_train has the wrong form .got float32"),
        ({"x_train": np.zeros((40, 5, 5), np.uint8)}, "another size"),
        ({"x_test": IMAGES[:0], "y_test": LABELS[:0]}, "the test part is empty"),
        ({"classes": np.array(["cat"])}, r"data\.num_classes: wrong number of classes"),
        ({"classes": np.array(["a\nb", "c"])}, "a class name must be printable text .got 'a.nb'"),
        ({"classes": np.array(["a", "a"])}, "two classes of one name"),
        ({"classes": np.array([1, 2])}, "classes has the wrong form"),
    ],
)
def test_wrong_arrays(config: DataConfig, change: dict[str, Any], message: str) -> None:
    np.savez(config.path, **ARRAYS | change)
    with pytest.raises(DataError, match=message):
        load(config)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK broken", r"not a readable \.npz file"),
        (npy(IMAGES), r"not a readable \.npz file"),
        ({"x_train": npy(IMAGES)}, "arrays missing: x_test, y_test, y_train"),
        (dict.fromkeys(ARRAYS, b"no array"), r"not a readable \.npz file"),
        (
            {name: npy(array)[:-1] for name, array in ARRAYS.items()},
            "does not have the size that its header claims",
        ),
    ],
)
def test_damage(config: DataConfig, content: bytes | dict[str, bytes], message: str) -> None:
    if isinstance(content, bytes):
        config.path.write_bytes(content)
    else:
        with zipfile.ZipFile(config.path, "w") as archive:
            for name, data in content.items():
                archive.writestr(f"{name}.npy", data)
    with pytest.raises(DataError, match=message):
        load(config)


def test_a_flipped_bit_is_seen(config: DataConfig) -> None:
    np.savez(config.path, **ARRAYS)
    content = bytearray(config.path.read_bytes())
    content[300] ^= 1  # a pixel: only the zip's checksum tells
    config.path.write_bytes(content)
    with pytest.raises(DataError, match="Bad CRC-32"):
        load(config)
