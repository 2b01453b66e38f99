"""Networks as libraries of somebody's firmware, built without Python and run in the emulator."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.device import Device
from mcuformer.errors import FirmwareError
from mcuformer.subnet import SubnetConfig
from oplib.codegen.component import Component
from oplib.codegen.selftest_c import BuiltInImages
from oplib.forms import Forms, Passes
from oplib.network.reference import run_integer
from oplib.target import qemu
from oplib.target.firmware import write_firmware
from oplib.target.linker import emulated_machine
from oplib.target.tools import run

NAMES = [str(number) for number in range(10)]
Export = Callable[..., Path]


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """Return a function that exports a network with two built-in images, under a name."""

    def export(network: Any, device: Device, name: str) -> Path:
        tests = BuiltInImages(network.images[:2], np.arange(2))
        parts = (network.integer, network.scheduled, device, NAMES)
        write_firmware(tmp_path / name, Component(*parts, name=name, tests=tests))
        return tmp_path / name

    return export


@pytest.fixture
def build(root: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that builds an application of tools/applications in a foreign folder."""

    def build(application: str, *exports: Path) -> Path:
        project, place = tmp_path / "somebodys firmware", tmp_path / "build"
        shutil.copytree(root / "tools" / "applications", project)
        options = [f"-DAPPLICATION={application}", f"-DEXPORTS={';'.join(map(str, exports))}"]
        run(["cmake", "-S", str(project), "-B", str(place), *options])
        run(["cmake", "--build", str(place), "--parallel", "2"])
        return place / "application.elf"

    return build


@pytest.mark.usefixtures("emulator_tools")
@pytest.mark.parametrize("strips", [False, True])
def test_a_component_tests_itself_in_a_foreign_project(
    small_network,
    random_network,
    export: Export,
    build: Callable[..., Path],
    *,
    small_subnet: SubnetConfig,
    preprocessing: Preprocessing,
    stm32f100: Device,
    tmp_path: Path,
    strips: bool,
) -> None:
    """And refuses a logit that differs by one."""
    network = small_network
    if strips:
        forms = Forms(passes=Passes(input="strip"))
        network = random_network(small_subnet, preprocessing, 3, forms)
    folder = export(network, stm32f100, "net")
    machine = emulated_machine(stm32f100).name
    elf = build("selftest", folder)
    qemu.emulate(elf, machine, tmp_path)
    source = folder / "firmware" / "net_test.c"
    last = str(run_integer(network.integer, network.images[:2])[1, -1])
    before, found, after = source.read_text().rpartition(last)
    assert found
    source.write_text(f"{before}{int(last) + 1}{after}")
    run(["cmake", "--build", str(elf.parent)])
    with pytest.raises(FirmwareError, match="exit code 1"):
        qemu.emulate(elf, machine, tmp_path)


@pytest.mark.usefixtures("emulator_tools")
def test_two_networks_share_an_image_and_an_arena(
    random_network,
    export: Export,
    build: Callable[..., Path],
    *,
    small_subnet: SubnetConfig,
    preprocessing: Preprocessing,
    stm32f746: Device,
    tmp_path: Path,
) -> None:
    """In C++17; their operators are linked once."""
    other = SubnetConfig.parse(
        small_subnet.dump() | {"tokenizer": "conv2", "patch_size": 4, "stem_dim": 8}
    )
    first = export(random_network(small_subnet, preprocessing, 1), stm32f746, "first")
    second = export(random_network(other, preprocessing, 2), stm32f746, "second")
    elf = build("two_networks", first, second)
    qemu.emulate(elf, emulated_machine(stm32f746).name, tmp_path)
    listed = run(["arm-none-eabi-nm", str(elf)]).stdout
    assert listed.count(" T oplib_mlp_block_s8\n") == 1
    assert " T first_run\n" in listed
    assert " T second_run\n" in listed


@pytest.mark.usefixtures("emulator_tools")
def test_interrupts_change_nothing_and_no_library_is_needed(
    random_network,
    export: Export,
    build: Callable[..., Path],
    *,
    small_subnet: SubnetConfig,
    preprocessing: Preprocessing,
    stm32f746: Device,
    tmp_path: Path,
) -> None:
    """Every millisecond a handler takes 512 bytes of the stack."""
    device = stm32f746.model_copy(update={"stack_reserve_bytes": 2048})
    folder = export(random_network(small_subnet, preprocessing, 1), device, "net")
    elf = build("interrupted", folder)
    qemu.emulate(elf, emulated_machine(device).name, tmp_path)
    listed = run(["arm-none-eabi-nm", str(elf)]).stdout
    assert not {"memcpy", "memset", "malloc", "printf"} & set(listed.split())


@pytest.mark.usefixtures("emulator_tools")
def test_networks_of_two_versions_are_not_mixed(
    random_network,
    export: Export,
    build: Callable[..., Path],
    *,
    small_subnet: SubnetConfig,
    preprocessing: Preprocessing,
    stm32f746: Device,
) -> None:
    network = random_network(small_subnet, preprocessing, 1)
    folders = [export(network, stm32f746, name) for name in ("first", "second")]
    header = folders[1] / "firmware" / "oplib" / "include" / "geometry.h"
    header.write_text(header.read_text() + "/* of another version */\n")
    with pytest.raises(FirmwareError, match="networks of this image have different operators"):
        build("two_networks", *folders)


def test_a_component_has_no_state_of_its_own(
    random_network,
    export: Export,
    *,
    small_subnet: SubnetConfig,
    preprocessing: Preprocessing,
    stm32f746: Device,
    tmp_path: Path,
    host_tools: None,
) -> None:
    """No byte of its objects is writable, and it calls nothing of anybody else's."""
    folder = export(random_network(small_subnet, preprocessing, 1), stm32f746, "net")
    options = ["-DCMAKE_C_FLAGS=-fno-pie"]  # constants that hold addresses stay read-only
    run(["cmake", "-S", str(folder / "firmware"), "-B", str(tmp_path / "library"), *options])
    run(["cmake", "--build", str(tmp_path / "library"), "--parallel", "2"])
    libraries = [str(path) for path in (tmp_path / "library").rglob("*.a")]
    assert len(libraries) == 2
    listed = subprocess.run(["nm", *libraries], capture_output=True, text=True, check=True).stdout
    kinds = {parts[-2] for parts in map(str.split, listed.splitlines()) if len(parts) in (2, 3)}
    assert kinds <= {"T", "t", "R", "r", "U"}
    names = {parts[-1] for parts in map(str.split, listed.splitlines()) if parts[:1] == ["U"]}
    assert all(name.startswith(("oplib_", "net_")) for name in names), names
