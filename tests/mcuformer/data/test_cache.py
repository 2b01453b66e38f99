"""Entries of the cache: found, checked, limited, and never in the way."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mcuformer.data import cache as module
from mcuformer.data.cache import DeclinedError, PictureCache, Sink, cache_folder, cache_key

IMAGES = [np.full((number + 1, 2, 3), number, np.uint8) for number in range(5)]
IMAGES[3] = np.empty((0, 0, 3), np.uint8)  # a picture that cannot be read
SIZE = sum(image.nbytes for image in IMAGES)  # 66 bytes


class Fill:
    """Writes :data:`IMAGES`, and counts how often."""

    def __init__(self) -> None:
        self.filled: list[str] = []

    def __call__(self, keys: Sequence[str], sink: Sink) -> None:
        self.filled += keys
        for image in IMAGES:
            sink.add([image for _ in keys])


def store(folder: Path, fill: Fill, *names: str, limit: int = 10**6) -> list[module.Stored]:
    keys = [cache_key(name) for name in names]
    return PictureCache(folder, limit).store(keys, len(IMAGES), 3, fill)


def test_what_is_stored_is_read_and_not_filled_again(tmp_path: Path) -> None:
    fill = Fill()
    store(tmp_path, fill, "a")
    found = store(tmp_path, fill, "a", "b")
    assert fill.filled == [cache_key("a"), cache_key("b")]
    for stored in found:
        assert stored.unreadable.tolist() == [3]
        assert isinstance(stored.pixels, np.memmap)
        for position in (4, 0, 2):
            assert np.array_equal(stored.read(position), IMAGES[position])


@pytest.mark.parametrize("name", ["pixels.npy", "shapes.npy", "entry.json"])
def test_a_damaged_entry_is_filled_again(tmp_path: Path, name: str) -> None:
    fill = Fill()
    store(tmp_path, fill, "a")
    path = tmp_path / cache_key("a") / name
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    assert np.array_equal(store(tmp_path, fill, "a")[0].read(1), IMAGES[1])
    assert len(fill.filled) == 2


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    fill = Fill()
    size = 0
    for age, name in enumerate("abc"):
        store(tmp_path, fill, name)
        entry = tmp_path / cache_key(name)
        size = sum(file.stat().st_size for file in entry.iterdir())
        os.utime(entry / "entry.json", (age, age))
    store(tmp_path, fill, "a")  # now the newest
    killed = tmp_path / cache_key("killed")
    killed.mkdir()
    (killed / "pixels.npy").write_bytes(bytes(size))
    other = tmp_path / "not an entry"
    other.mkdir()
    store(tmp_path, fill, "d", limit=3 * size)
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {cache_key(name) for name in "acd"} | {other.name}


def test_a_set_beyond_the_limit_is_declined_and_leaves_nothing(tmp_path: Path) -> None:
    store(tmp_path, Fill(), "a", limit=SIZE)
    with pytest.raises(DeclinedError, match="all images need about"):
        store(tmp_path, Fill(), "b", limit=SIZE - 1)
    with pytest.raises(DeclinedError):
        store(tmp_path, Fill(), "b", "c", limit=2 * SIZE - 1)
    assert [path.name for path in tmp_path.iterdir()] == [cache_key("a")]


def test_a_large_set_is_declined_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ESTIMATE_AFTER", 2)
    sink = Sink([(tmp_path / "x").open("wb")], 1000, 8000)
    sink.add([np.zeros((2, 2, 3), np.uint8)])
    with pytest.raises(DeclinedError, match="need about"):
        sink.add([np.zeros((2, 2, 3), np.uint8)])  # 24 of 8000 bytes, but 12 times 1000 to come


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(DeclinedError, match="cannot be used"):
        store(file, Fill(), "a")

    class Full(Fill):
        def __call__(self, keys: Sequence[str], sink: Sink) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(DeclinedError, match="No space left"):
        store(tmp_path / "full", Full(), "a")
    assert list((tmp_path / "full").iterdir()) == []
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache_folder(None) == Path("/elsewhere/mcuformer")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says its specification
    assert cache_folder(None) == Path.home() / ".cache" / "mcuformer"
