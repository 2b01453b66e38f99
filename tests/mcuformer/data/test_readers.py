"""Published formats, written here byte by byte, and the ways in which they are damaged."""

from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcuformer.data.dataset import DataConfig, load
from mcuformer.data.preprocessing import Preprocessing
from mcuformer.data.readers import LazyImages, read_cifar10_pickle, read_idx_file
from mcuformer.errors import DataError

GREY = Preprocessing(img_size=28, channel_order="L", mean=(0.5,), std=(0.5,))
COLOUR = Preprocessing(img_size=32, channel_order="RGB", mean=(0.5,) * 3, std=(0.5,) * 3)


def config(kind: str, root: Path, pre: Preprocessing, **more: object) -> DataConfig:
    fields = {"name": kind, "format": kind, "root": str(root), "img_size": pre.img_size}
    return DataConfig(**fields | {"num_classes": 10, "preprocessing": pre, **more})


def write_idx(path: Path, array: np.ndarray) -> None:
    content = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def test_idx(tmp_path: Path, rng: np.random.Generator) -> None:
    images = rng.integers(0, 256, (50, 28, 28)).astype(np.uint8)
    labels = (np.arange(50) % 10).astype(np.uint8)
    with pytest.raises(DataError, match=r"data\.root: .*not found; ask LeCun .*train-images-idx3"):
        load(config("idx", tmp_path, GREY, source="ask LeCun"))
    for part in ("train", "t10k"):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", labels)
    data = load(config("idx", tmp_path, GREY))
    assert np.array_equal(data.test.images[..., 0], images)
    assert (len(data.train), len(data.steering)) == (40, 10)
    write_idx(tmp_path / "train-labels-idx1-ubyte", labels[:-1])
    with pytest.raises(DataError, match="train images and labels do not belong together"):
        load(config("idx", tmp_path, GREY))
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\x01\0\0\0\x05abc"))
    with pytest.raises(DataError, match=r"cut\.gz: damaged idx file .got .* 11 bytes"):
        read_idx_file(path)
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(DataError, match=r"cut\.gz: damaged idx file"):
        read_idx_file(path)


def test_cifar10_binary_and_python_agree(tmp_path: Path, rng: np.random.Generator) -> None:
    rows = rng.integers(0, 256, (5, 40, 3072)).astype(np.uint8)
    labels = np.tile(np.arange(10), 4)
    for kind in ("bin", "py"):
        folder = tmp_path / kind / f"cifar-10-batches-{kind}"
        folder.mkdir(parents=True)
        for number, part in enumerate(rows, 1):
            if kind == "bin":
                records = np.concatenate([labels[:, None].astype(np.uint8), part], axis=1)
                (folder / f"data_batch_{number}.bin").write_bytes(records.tobytes())
            else:  # as Python 2 wrote them: bytes for keys
                batch = {b"data": part, b"labels": labels.tolist(), b"batch_label": b"x"}
                (folder / f"data_batch_{number}").write_bytes(pickle.dumps(batch, protocol=2))
    binary, python = (load(config("cifar10", tmp_path / k, COLOUR)) for k in ("bin", "py"))
    assert binary.train.digest == python.train.digest
    assert binary.class_names[3] == "cat"
    # the first record's second pixel: red, green and blue are separate planes
    first = rows[0, 0].reshape(3, 1024)[:, 1]
    pixels = [part.images[:, 0, 1] for part in (binary.train, binary.steering, binary.test)]
    assert (np.concatenate(pixels) == first).all(axis=1).any()
    assert len(binary.test) == 40  # carved out, as there is no test batch


def test_a_pickle_that_names_more_than_arrays_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps({b"data": Path("/"), b"labels": []}))
    with pytest.raises(DataError, match=r"not a CIFAR-10 Python batch: it names pathlib"):
        read_cifar10_pickle(path)


def write_pictures(root: Path, folders: list[str], count: int) -> None:
    for folder in folders:
        for label, name in enumerate(("ant", "bee")):
            place = root / folder / name
            place.mkdir(parents=True)
            for number in range(count):
                pixels = np.full((40, 60, 3), 100 * label + number, np.uint8)
                pixels[:, :10] = pixels[:, -10:] = 255  # beyond the centre square
                Image.fromarray(pixels).save(place / f"{number}.png")


def test_image_folders(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["train", "val"], 10)
    pre = COLOUR.model_copy(update={"crop": "center", "img_size": 8})
    settings = config("image_folder", tmp_path, pre, num_classes=2)
    data = load(settings)
    assert (data.class_names, len(data.train), len(data.test)) == (("ant", "bee"), 16, 20)
    assert data.test.images[:].max() == 109  # the white borders are cut off
    lazy = load(settings.model_copy(update={"memory_gib": 1e-9}))
    assert isinstance(lazy.train.images, LazyImages)
    assert np.array_equal(lazy.train.images[:], data.train.images[:])
    assert np.array_equal(lazy.train.labels, data.train.labels)
    before = lazy.train.digest
    picture = tmp_path / "train" / "ant" / "0.png"
    content = picture.read_bytes()
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(picture)  # another picture of that name
    assert load(settings.model_copy(update={"memory_gib": 1e-9})).train.digest != before
    picture.write_bytes(content)
    assert load(settings, 16).test.images.shape == (20, 16, 16, 3)
    with pytest.raises(DataError, match=r"data\.num_classes: wrong number of classes .got 3"):
        load(settings.model_copy(update={"num_classes": 3}))
    (tmp_path / "val" / "bee").rename(tmp_path / "val" / "cat")
    with pytest.raises(DataError, match="the parts have different classes"):
        load(settings)
    with pytest.raises(DataError, match="a folder of the data not found"):
        load(config("image_folder", tmp_path / "absent", pre, num_classes=2))


def test_folders_without_parts_and_sets_that_timm_lacks(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["."], 10)
    pre = COLOUR.model_copy(update={"img_size": 8})
    data = load(config("image_folder", tmp_path, pre, num_classes=2))
    assert (len(data.train), len(data.steering), len(data.test)) == (12, 4, 4)
    with pytest.raises(DataError, match=r"data\.root: timm cannot read"):
        load(config("timm", tmp_path, pre, timm_name="torch/x"))
