"""Fixtures that several packages' tests share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import settings

from mcuformer.data.dataset import DataConfig
from mcuformer.data.preprocessing import Preprocessing
from mcuformer.device import Device
from mcuformer.space import SearchSpace
from mcuformer.subnet import BlockConfig, SubnetConfig

# machines differ in speed; CI repeats the same examples, so that it fails only for a change
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

ROOT = Path(__file__).resolve().parents[1]


def read_conf(name: str) -> dict:
    """Read one file of conf/, as plain containers."""
    return yaml.safe_load((ROOT / "conf" / f"{name}.yaml").read_text())


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def preprocessing() -> Preprocessing:
    return Preprocessing(
        img_size=8, channel_order="L", value_max=16, mean=(0.4,), std=(0.5,), resize="box"
    )


@pytest.fixture(scope="session")
def digits_config(preprocessing: Preprocessing) -> DataConfig:
    return DataConfig(
        name="digits", format="digits", img_size=8, num_classes=10, preprocessing=preprocessing
    )


@pytest.fixture(scope="session")
def digits_space() -> SearchSpace:
    return SearchSpace.parse(read_conf("space/digits") | {"img_size": 8, "num_classes": 10})


@pytest.fixture(scope="session")
def stm32f100() -> Device:
    return Device.parse(read_conf("device/stm32f100"))


@pytest.fixture(scope="session")
def stm32f746() -> Device:
    return Device.parse(read_conf("device/stm32f746"))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def small_subnet() -> SubnetConfig:
    """Padded patches, low rank, blocks of different widths."""
    blocks = (
        BlockConfig(num_heads=2, head_dim=16, mlp_ratio=2.0),
        BlockConfig(num_heads=3, head_dim=16, mlp_ratio=1.5),
    )
    return SubnetConfig(
        img_size=8,
        patch_size=3,
        in_chans=1,
        num_classes=10,
        embed_dim=32,
        rank_ratio=0.5,
        blocks=blocks,
    )
