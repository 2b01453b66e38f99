"""Kernels are compiled once for equal sources, compiler and flags, and the program is the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcuformer.device import Device
from oplib.codegen.runtime import RUNTIME
from oplib.target import board, host, kernel_library

Build = Callable[..., bool]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the entries, which no build has used yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "users cache"))
    return tmp_path / "users cache" / "mcuformer" / "kernels"


@pytest.fixture
def firmware(
    small_network,
    write: Callable[..., Path],
    write_program: Callable[[Path, str], None],
    stm32f100: Device,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A firmware with a single kernel, which it does not even call: quickly built."""
    path = write(small_network, stm32f100)
    write_program(path, "")
    operators = path / "firmware" / "oplib"
    for kernel in (operators / "src").iterdir():
        kernel.unlink()
    (operators / "src" / "take_token.c").write_text((RUNTIME / "src/take_token.c").read_text())
    shutil.copytree(operators, path / "runtime")
    monkeypatch.setattr(kernel_library, "RUNTIME", path / "runtime")
    return path


@pytest.fixture
def compiles(tmp_path: Path) -> Build:
    """Return a function that builds for the host and returns whether it compiled the kernels."""

    def compiles(firmware: Path, name: str, **options: Any) -> bool:
        host.build(firmware, tmp_path / name, **options)
        places = ("operators", "firmware/oplib")  # for the cache, and for this build alone
        return any((tmp_path / name / place / "liboplib.a").exists() for place in places)

    return compiles


@pytest.mark.usefixtures("host_tools")
def test_equal_kernels_are_compiled_once(
    firmware: Path, tmp_path: Path, cache: Path, compiles: Build
) -> None:
    assert compiles(firmware, "one")
    assert not compiles(firmware, "two")
    libraries = [(tmp_path / name / "libnetwork.so").read_bytes() for name in ("one", "two")]
    assert libraries[0] == libraries[1]
    assert compiles(firmware, "other flags", optimize="-O1")
    assert len(list(cache.iterdir())) == 2
    kernel = firmware / "firmware" / "oplib" / "src" / "take_token.c"
    kernel.write_text(kernel.read_text() + "/* another */\n")
    assert compiles(firmware, "other sources")
    assert compiles(firmware, "other sources again")
    assert len(list(cache.iterdir())) == 2


@pytest.mark.usefixtures("emulator_tools")
def test_emulated_and_device_share_their_kernels(
    small_network, write: Callable[..., Path], stm32f746: Device, tmp_path: Path, cache: Path
) -> None:
    """And a program linked with a kept library is the one that was compiled, byte for byte."""
    firmware = write(small_network, stm32f746)
    for target, name in (("device", "a"), ("emulated", "b"), ("device", "c")):
        board.cross_build(firmware, tmp_path / name, target)
    built = [(tmp_path / name / "operators").exists() for name in "abc"]
    assert built == [True, False, False]
    assert (tmp_path / "a" / "network.elf").read_bytes() == (
        tmp_path / "c" / "network.elf"
    ).read_bytes()


@pytest.mark.usefixtures("host_tools")
def test_a_damaged_entry_is_compiled_again(firmware: Path, cache: Path, compiles: Build) -> None:
    assert compiles(firmware, "one")
    (entry,) = cache.iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(whole[:-1])
    assert compiles(firmware, "two")
    assert entry.read_bytes() == whole
    assert not compiles(firmware, "three")


@pytest.mark.usefixtures("host_tools")
def test_without_a_cache_every_build_compiles(
    firmware: Path,
    tmp_path: Path,
    cache: Path,
    compiles: Build,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "users cache").write_text("a file where the folder should be")
    assert compiles(firmware, "one")
    assert compiles(firmware, "two")
    printed = capsys.readouterr().err
    assert printed.count("kernels are compiled for every build: ") == 1
    assert str(cache) in printed.replace("\n", "")


@pytest.mark.usefixtures("host_tools")
def test_the_least_recently_used_entry_goes(
    firmware: Path, cache: Path, compiles: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_library, "MAX_ENTRIES", 2)
    for name, optimize in enumerate(("-O2", "-O1", "-O2", "-Os")):
        compiles(firmware, str(name), optimize=optimize)
    assert len(list(cache.iterdir())) == 2
    assert not compiles(firmware, "used again", optimize="-O2")
    assert compiles(firmware, "gone", optimize="-O1")
