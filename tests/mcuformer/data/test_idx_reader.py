"""LeCun's format, written here byte by byte, and the ways in which it is damaged."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mcuformer.data.dataset import DataConfig, load
from mcuformer.data.idx_reader import read_idx_file
from mcuformer.data.preprocessing import Preprocessing
from mcuformer.errors import DataError


def write_idx(path: Path, array: np.ndarray) -> None:
    content = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def test_a_set(
    tmp_path: Path,
    rng: np.random.Generator,
    grey: Preprocessing,
    data_config: Callable[..., DataConfig],
) -> None:
    images = rng.integers(0, 256, (50, 28, 28)).astype(np.uint8)
    labels = (np.arange(50) % 10).astype(np.uint8)
    with pytest.raises(DataError, match=r"data\.root: .*not found; ask LeCun .*train-images-idx3"):
        load(data_config("idx", tmp_path, grey, source="ask LeCun"))
    for part in ("train", "t10k"):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", labels)
    config = data_config("idx", tmp_path, grey)
    data = load(config)
    assert np.array_equal(data.test.images[..., 0], images)
    assert (len(data.train), len(data.steering)) == (40, 10)
    with pytest.raises(DataError, match=r"larger than data\.memory_gib allows"):
        load(config.model_copy(update={"memory_gib": 1e-6}))
    write_idx(tmp_path / "train-labels-idx1-ubyte", labels[:-1])
    with pytest.raises(DataError, match="train images and labels do not belong together"):
        load(config)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0\0\x08\x01\0\0\0\x05abc", r"got 3 bytes, expected 5 bytes for \(5,\)"),
        (b"\0\0\x08\x01\0\0\0\x02abc", "got more bytes"),
        (b"\0\0\x09\x01\0\0\0\x03abc", "type 9"),
        (b"\0\0\x08\x01\0\0", "damaged idx file"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "larger than"),
    ],
)
def test_damage(tmp_path: Path, content: bytes, message: str) -> None:
    plain, packed = tmp_path / "x", tmp_path / "x.gz"
    plain.write_bytes(content)
    packed.write_bytes(gzip.compress(content))
    for path in (plain, packed):
        with pytest.raises(DataError, match=message):
            read_idx_file(path, 10**6)
    packed.write_bytes(packed.read_bytes()[:-6])
    with pytest.raises(DataError):
        read_idx_file(packed, 10**6)
