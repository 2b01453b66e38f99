"""CIFAR-10's published forms, written here, and pickles that ask for more than arrays."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcuformer.data.cifar10_reader import read_cifar10_pickle
from mcuformer.data.dataset import DataConfig, load
from mcuformer.data.preprocessing import Preprocessing
from mcuformer.errors import DataError


def test_binary_and_python_agree(
    tmp_path: Path,
    rng: np.random.Generator,
    colour: Preprocessing,
    data_config: Callable[..., DataConfig],
) -> None:
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
    binary, python = (
        load(data_config("cifar10", tmp_path / kind, colour)) for kind in ("bin", "py")
    )
    assert binary.train.digest == python.train.digest
    assert binary.class_names[3] == "cat"
    # the first record's second pixel: red, green and blue are separate planes
    first = rows[0, 0].reshape(3, 1024)[:, 1]
    pixels = [part.images[:, 0, 1] for part in (binary.train, binary.steering, binary.test)]
    assert (np.concatenate(pixels) == first).all(axis=1).any()
    assert len(binary.test) == 40  # carved out, as there is no test batch


class Command:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch acted",)


ROWS = np.zeros((2, 3072), np.uint8)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({b"data": Command(), b"labels": []}, "it names posix.system"),
        ({b"data": Path("/"), b"labels": []}, "it names pathlib"),
        ({b"data": ROWS, b"labels": [0]}, "2 images for 1 labels"),
        ({b"data": ROWS, b"labels": [0, 1.5]}, "labels are not a list of integers"),
        ({b"data": ROWS, b"labels": [0, 2**80]}, "not a CIFAR-10 Python batch"),
        ({b"data": ROWS.astype(np.int64), b"labels": [0, 1]}, "data of type 'i8'"),
        ({b"data": ROWS[:, 1:], b"labels": [0, 1]}, "shape"),
        ({b"labels": [0, 1]}, "data"),
        ([1, 2], "not a CIFAR-10 Python batch"),
    ],
)
def test_other_pickles_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: object, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps(batch, protocol=2))
    with pytest.raises(DataError, match=message):
        read_cifar10_pickle(path)
    assert not (tmp_path / "acted").exists()
