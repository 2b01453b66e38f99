from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mcuformer.data.dataset import DataConfig
from mcuformer.data.preprocessing import Preprocessing


@pytest.fixture
def grey() -> Preprocessing:
    return Preprocessing(img_size=28, channel_order="L", mean=(0.5,), std=(0.5,))


@pytest.fixture
def colour() -> Preprocessing:
    return Preprocessing(img_size=32, channel_order="RGB", mean=(0.5,) * 3, std=(0.5,) * 3)


@pytest.fixture
def data_config(tmp_path: Path) -> Callable[..., DataConfig]:
    """Return a function that configures a set under `root`, with a cache of its own."""

    def build(kind: str, root: Path, pre: Preprocessing, **more: object) -> DataConfig:
        fields = {"name": kind, "format": kind, "root": str(root), "img_size": pre.img_size}
        fields |= {"num_classes": 10, "preprocessing": pre, "cache_dir": str(tmp_path / "cache")}
        return DataConfig(**fields | more)

    return build
