"""Tiers of tests, and fixtures that several packages' tests share."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch and numpy start threads of their own
    os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # where a test needs two threads, none waits by spinning

import numpy as np
import pytest
from commands import Command
from hypothesis import settings

from mcuformer.data.dataset import DataConfig
from mcuformer.data.preprocessing import Preprocessing
from mcuformer.device import Device
from mcuformer.run.presets import load
from mcuformer.space import SearchSpace
from mcuformer.subnet import BlockConfig, SubnetConfig
from oplib.target import host, qemu

# machines differ in speed; CI repeats the same examples, so that it fails only for a change
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

ROOT = Path(__file__).resolve().parents[1]
CHAIN_FOLDERS = ("integration", "tools")
TRAINERS = {"supernet.trainer", "supernet.pruning.prune"}
TOOL_FIXTURES = {"host_tools", "emulator_tools"}


def tier_of(item: pytest.Item) -> str:
    """Return a test's tier: by its folder, the trainer it imports, or its fixtures' programs."""
    if not item.path.is_relative_to(ROOT / "tests"):
        return "tiny"  # the doctests of the packages
    folder = item.path.relative_to(ROOT / "tests").parts[0]
    names = vars(item.getparent(pytest.Module).obj).values()
    trains = any(getattr(value, "__module__", None) in TRAINERS for value in names)
    if folder in CHAIN_FOLDERS or trains:
        return "chain"
    return "firmware" if TOOL_FIXTURES & set(item.fixturenames) else "tiny"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(tier_of(item))


@pytest.fixture(autouse=True)
def a_tiny_test_starts_no_program(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Enforce the promise of tiny tests: no compiler, no emulator, no data set."""
    if request.node.get_closest_marker("tiny") is None:
        return

    start = subprocess.Popen.__init__

    def refuse(self: Any, command: Any, *arguments: Any, **options: Any) -> None:
        # a stage's record names the revision; ctypes looks for libraries as timm is imported,
        # matplotlib for fonts where it has not been used before
        if Path(command[0]).name not in ("git", "ldconfig", "fc-list"):
            pytest.fail(f"a tiny test starts {command}; ask for a fixture of tests/conftest.py")
        start(self, command, *arguments, **options)

    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    monkeypatch.setattr(Command, "__init__", refuse)
    monkeypatch.delenv("MCUFORMER_DATA", raising=False)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep decoded pictures and compiled kernels in a cache of this session, not in the user's."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # all workers share it
    with pytest.MonkeyPatch.context() as patch:
        users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        patch.setenv("MPLCONFIGDIR", str(users / "matplotlib"))  # its list of fonts stays
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield


def need(*programs: str) -> None:
    """Skip, naming the program, where one is missing."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} not found; `make setup` installs it")


@pytest.fixture(scope="session")
def host_tools() -> None:
    """Require the programs that build a firmware on this computer."""
    need(*host.TOOLS)


@pytest.fixture(scope="session")
def emulator_tools(host_tools: None) -> None:
    """Require the cross-compiler and the emulator as well."""
    need(*qemu.TOOLS)


def device_called(name: str) -> Device:
    """Return a device of conf/device."""
    return load("device", name, Device)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def device() -> Callable[[str], Device]:
    """Return the function that reads a device of conf/device."""
    return device_called


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
    return load("space", "digits", SearchSpace, img_size=8, num_classes=10)


@pytest.fixture(scope="session")
def stm32f100() -> Device:
    return device_called("stm32f100")


@pytest.fixture(scope="session")
def stm32f746() -> Device:
    return device_called("stm32f746")


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
