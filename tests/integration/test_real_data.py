"""Published data sets, where the variable MCUFORMER_DATA names their directory."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from commands import run

from mcuformer.data.dataset import DataConfig, Dataset, load
from mcuformer.run.entry import compose
from supernet.train import TrainConfig

DATA = os.environ.get("MCUFORMER_DATA")
pytestmark = pytest.mark.skipif(not DATA, reason="MCUFORMER_DATA names no directory of data sets")


def read(*overrides: str) -> Dataset:
    return load(DataConfig.parse(compose("supernet_train", overrides, TrainConfig)["data"]))


def sizes(data: Dataset) -> tuple[int, int, int]:
    return len(data.train), len(data.steering), len(data.test)


@pytest.mark.parametrize(("name", "mean"), [("mnist", 0.1307), ("fashion_mnist", 0.2860)])
def test_idx_sets(name: str, mean: float) -> None:
    """Sizes and the published mean of the training pixels."""
    data = read(f"data={name}", f"data.root={DATA}/{name}")
    assert sizes(data)[1:] == (pytest.approx(6_000, abs=5), 10_000)  # a tenth of every class
    assert sum(sizes(data)) == 70_000
    both = data.train.joined(data.steering)
    assert float(both.images[:].mean()) / 255 == pytest.approx(mean, abs=1e-4)
    assert abs(float(data.preprocessing.normalize(both.images[:]).mean())) < 1e-3


def test_cifar10_sheets(root: Path, tmp_path: Path) -> None:
    result = run([root / "tools" / "convert_cifar10.py", f"{DATA}/cifar10_train.zip", tmp_path])
    assert result.returncode == 0, result.stderr
    data = read("data=cifar10", f"data.root={tmp_path}")
    assert sizes(data) == (40_500, 4_500, 5_000)
    assert np.bincount(data.test.labels).tolist() == [500] * 10
    means = data.train.images[:].mean(axis=(0, 1, 2)) / 255
    assert means == pytest.approx(data.preprocessing.mean, abs=2e-3)


def test_flowers(tmp_path: Path) -> None:
    """Our reader and timm's read the same pictures: every fifth of 3,670."""
    with zipfile.ZipFile(f"{DATA}/flowers5_224.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        assert len(names) == 3670  # as published
        chosen = names[::5]
        archive.extractall(tmp_path, chosen)
    settings = [f"data.root={tmp_path / 'flowers5_224'}", "data.num_classes=5", "data.img_size=32"]
    data = read("data=image_folder", "space=image_folder", *settings)
    assert sizes(data)[2] == sum("/val/" in name for name in chosen) > 100
    assert sum(sizes(data)) == len(chosen) == 734
    assert data.class_names[0] == "daisy"
    other = read("data=timm", "space=timm", "data.timm_name=folder", *settings)
    assert sizes(other) == sizes(data)
    # timm sorts names as people do, so the order differs inside a class, and with it the split
    for part in ("train", "steering", "test"):
        assert np.array_equal(getattr(other, part).labels, getattr(data, part).labels)
    assert other.test.images[:].sum(dtype=np.int64) == data.test.images[:].sum(dtype=np.int64)
