"""From picture files to splits: decoded once, the same from the cache, from memory and anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mcuformer.data import folder_reader, picture_source
from mcuformer.data.dataset import DataConfig, load
from mcuformer.data.images import PictureImages
from mcuformer.data.preprocessing import Preprocessing
from mcuformer.errors import DataError

Build = Callable[..., DataConfig]
STORES: dict[str, dict[str, Any]] = {
    "cache": {},
    "memory": {"cache_gib": 0.0},
    "nowhere": {"cache_gib": 1e-9, "memory_gib": 1e-9},
}


def write_pictures(root: Path, folders: list[str], count: int) -> None:
    for folder in folders:
        for label, name in enumerate(("ant", "bee")):
            place = root / folder / name
            place.mkdir(parents=True)
            for number in range(count):
                pixels = np.full((40, 60, 3), 100 * label + number, np.uint8)
                pixels[:, :10] = pixels[:, -10:] = 255  # beyond the centre square
                Image.fromarray(pixels).save(place / f"{number}.png")


@pytest.fixture
def config(tmp_path: Path, colour: Preprocessing, data_config: Build) -> DataConfig:
    write_pictures(tmp_path / "set", ["train"], 10)
    write_pictures(tmp_path / "set", ["val"], 9)
    pre = colour.model_copy(update={"crop": "center", "img_size": 14})
    return data_config("image_folder", tmp_path / "set", pre, num_classes=2)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the files that have been decoded."""
    names: list[str] = []
    read = folder_reader.read_picture_file

    def counted(path: Path) -> Image.Image:
        names.append(f"{path.parent.name}/{path.name}")
        return read(path)

    monkeypatch.setattr(folder_reader, "read_picture_file", counted)
    return names


@pytest.mark.parametrize("store", STORES)
def test_every_store_gives_the_same_images(config: DataConfig, store: str) -> None:
    data = load(config.model_copy(update=STORES[store]), crops=True)
    assert (data.class_names, len(data.train), len(data.test)) == (("ant", "bee"), 16, 18)
    for part in (data.train, data.steering, data.test):
        images = part.images
        assert isinstance(images, PictureImages)
        assert images.decodes == (store == "nowhere")
        assert images[:].shape == (len(part), 14, 14, 3)
        # uniform inside the centre square, whose colour tells class and number
        assert np.array_equal(images[:].min(axis=(1, 2, 3)), images[:].max(axis=(1, 2, 3)))
        assert np.array_equal(images[:].max(axis=(1, 2, 3)) >= 100, part.labels == 1)
    both = data.train.joined(data.steering)
    assert both.crops is not None
    # 40 x 60 pixels, the short side round(14 / 0.875) = 16, with the aspect of the picture
    assert {both.crops[position].shape for position in range(len(both))} == {(16, 24, 3)}
    assert both.crops[3][8, 12, 0] == both.images[3][7, 7, 0]
    assert data.test.crops is None


def test_no_picture_is_decoded_twice(config: DataConfig, decoded: list[str]) -> None:
    first = load(config, crops=True)
    assert len(decoded) == 38
    assert np.array_equal(load(config).test.images[:], first.test.images[:])
    assert len(decoded) == 38
    Path(config.path).rename(config.path.with_name("moved"))
    moved = load(config.model_copy(update={"root": str(config.path.with_name("moved"))}))
    assert len(decoded) == 38  # the cache goes by content
    assert moved.train.digest == first.train.digest
    load(config.at_size(16).model_copy(update={"root": str(config.path.with_name("moved"))}))
    assert len(decoded) == 76


def test_other_content_is_another_set(config: DataConfig) -> None:
    before = load(config).train.digest
    picture = config.path / "train" / "ant" / "0.png"
    content = picture.read_bytes()
    picture.write_bytes(content + b"\0")
    assert load(config).train.digest != before
    picture.write_bytes(content)
    assert load(config.model_copy(update=STORES["memory"])).train.digest == before


@pytest.mark.parametrize("store", STORES)
def test_broken_pictures(config: DataConfig, monkeypatch: pytest.MonkeyPatch, store: str) -> None:
    picture = config.path / "train" / "bee" / "4.png"
    picture.write_bytes(picture.read_bytes()[:60])
    said: list[str] = []
    monkeypatch.setattr(picture_source, "say", said.append)
    config = config.model_copy(update=STORES[store])
    skipping = config.model_copy(update={"on_error": "skip"})
    for _ in range(2):  # the second time from the cache
        data = load(skipping)
        assert len(data.train) + len(data.steering) == 19
        assert np.array_equal(data.train.images[:].max(axis=(1, 2, 3)) >= 100, data.train.labels)
        lines = [line for line in said if "left out 1 pictures that cannot be read" in line]
        assert "4.png: not a readable image" in lines[-1]
    with pytest.raises(DataError, match=r"4\.png: not a readable image"):
        load(config).train.joined(load(config).steering).images[:]


def test_validation_steers_where_there_is_a_test_part(config: DataConfig) -> None:
    write_pictures(config.path, ["test"], 3)
    data = load(config)
    assert (len(data.train), len(data.steering), len(data.test)) == (20, 18, 6)
    both = data.train.joined(data.steering)
    assert len(both.images[:]) == 38
    assert np.array_equal(both.images[25], data.steering.images[5])


def test_sets_without_parts_and_sets_that_timm_lacks(
    tmp_path: Path, colour: Preprocessing, data_config: Build
) -> None:
    write_pictures(tmp_path / "set", ["."], 10)
    data = load(data_config("image_folder", tmp_path / "set", colour, num_classes=2))
    assert (len(data.train), len(data.steering), len(data.test)) == (12, 4, 4)
    with pytest.raises(DataError, match=r"data\.num_classes: wrong number of classes .got 3"):
        load(data_config("image_folder", tmp_path / "set", colour, num_classes=3))
    with pytest.raises(DataError, match="a folder of the data not found"):
        load(data_config("image_folder", tmp_path / "absent", colour, num_classes=2))
    with pytest.raises(DataError, match=r"data\.root: timm cannot read"):
        load(data_config("timm", tmp_path / "set", colour, timm_name="torch/x"))
