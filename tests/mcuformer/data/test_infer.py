"""Values that files tell, on the way from a command line to the typed configuration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcuformer.data.infer import infer
from mcuformer.errors import DataError
from mcuformer.run import entry
from supernet.train import TrainConfig


def parsed(*arguments: str) -> TrainConfig:
    found: list[TrainConfig] = []
    assert entry.run("supernet_train", TrainConfig, found.append, arguments) == 0
    return found[0]


def test_folders_tell_classes_and_size(tmp_path: Path) -> None:
    for name in ("ant", "bee", "cat"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (150, 100)).save(tmp_path / name / "x.jpg")
    arguments = ["data=image_folder", f"data.root={tmp_path}"]
    config = parsed(*arguments)
    assert (config.data.num_classes, config.data.img_size) == (3, 96)
    assert (config.space.num_classes, config.space.img_size) == (3, (96,))
    assert config.data.preprocessing.img_size == 96
    given = parsed(*arguments, "data.img_size=64")
    assert (given.data.num_classes, given.data.img_size) == (3, 64)


def test_npz_files_tell_classes_and_size(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    images, labels = np.zeros((8, 12, 12), np.uint8), np.arange(8) % 4
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    config = parsed("data=npz", f"data.root={path}")
    assert (config.data.num_classes, config.data.img_size) == (4, 12)
    own = tmp_path / "own.yaml"  # a preset that does not even name the keys
    own.write_text(
        f"name: own\nformat: npz\nroot: {path}\n"
        "preprocessing: {img_size: '${..img_size}', channel_order: L, mean: [0.5], std: [0.5]}\n"
    )
    assert parsed(f"data={own}", "space=npz").data.img_size == 12


def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["data=image_folder"], "data.root: missing; give data.root=..."),
        (["data=image_folder", f"data.root={tmp_path}"], "class folders not found"),
        (["data=npz", f"data.root={tmp_path}/x.npz"], "a .npz file of the data not found"),
        (["data=mnist", "data.root=x", "data.img_size=null"], "data.img_size: "),
    ):
        assert entry.run("supernet_train", TrainConfig, lambda config: None, arguments) == 2
        assert message in capsys.readouterr().err.splitlines()[-1]
    with pytest.raises(DataError, match=r"data\.root"):
        infer({"format": "npz", "root": "~nobody-of-this-name/x"})
    assert infer({"format": "idx", "root": "x"}) == {}
