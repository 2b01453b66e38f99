"""Boards on their vendor's own library: built and linked where a variable names it."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mcuformer.device import Device
from mcuformer.errors import ArtifactError
from mcuformer.subnet import SubnetConfig
from oplib.codegen import selftest_c
from oplib.codegen.component import Component
from oplib.forms import DEFAULT_FORMS
from oplib.plan.arena import FastRoom
from oplib.plan.schedule import schedule
from oplib.target import board
from oplib.target.firmware import write_firmware
from oplib.target.target import Target

pytestmark = pytest.mark.usefixtures("emulator_tools")
WARNINGS = "-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wcast-qual -Wundef -Wshadow"
FLASH = 0x08000000  # of the code, on both chips


@dataclass(frozen=True)
class Chip:
    """What a chip's reference manual says, and where its device file puts things.

    Args:
        cube: variable that names the folder of ST's library.
        interrupts: number of interrupts, of the manual's table of vectors.
        serial: position of the interrupt of the board's UART in that table, and its name.
        weights: first address of the flash of the weights, and the first beyond it.
        arena: the same of the arena.
        fast: the same of the fast arena.
    """

    cube: str
    interrupts: int
    serial: tuple[int, str]
    weights: tuple[int, int]
    arena: tuple[int, int]
    fast: tuple[int, int] | None = None


F746 = Chip(  # RM0385, memory map and vector table
    "STM32CUBE_F7",
    98,
    (37, "USART1_IRQHandler"),
    (0x90000000, 0x91000000),
    (0x20000000, 0x20050000),
)
H743 = Chip(  # RM0433, memory map and vector table
    "STM32CUBE_H7",
    150,
    (39, "USART3_IRQHandler"),
    (0x08000000, 0x08200000),
    (0x24000000, 0x24080000),
    (0x20000000, 0x20020000),
)


@pytest.fixture
def exported(small_network, small_subnet: SubnetConfig) -> Callable[[Device, Path], Path]:
    """Return a function that exports a network with ten built-in images, and returns the folder."""

    def export(device: Device, folder: Path) -> Path:
        scheduled = schedule(small_subnet, DEFAULT_FORMS, fast=FastRoom(Target(device).fast_bytes))
        tests = selftest_c.BuiltInImages(small_network.images[:10], np.arange(10))
        names = [str(index) for index in range(10)]
        component = Component(
            small_network.integer, scheduled, device, names, "digits", tests=tests
        )
        write_firmware(folder, component)
        return folder

    return export


def built(source: Path, folder: Path, *options: str) -> Path:
    """Configure and build a board's folder, whose own C must not warn; return the ELF file."""
    printed = []
    for command in (
        ["cmake", "-S", str(source), "-B", str(folder), *options],
        ["cmake", "--build", str(folder), "--parallel", "2"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        printed += done.stderr.splitlines()
    export = str(source.parents[1])
    assert not [line for line in printed if line.startswith(export) and "warning:" in line]
    return folder / "board.elf"


def addresses(elf: Path) -> dict[str, int]:
    """Return the address of each symbol in a linked file."""
    command = ["arm-none-eabi-nm", str(elf)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in printed.splitlines()]
    return {row[-1]: int(row[0], 16) for row in rows if len(row) == 3}


def section(elf: Path, name: str, place: Path) -> bytes:
    """Return the bytes of a section."""
    command = ["arm-none-eabi-objcopy", "-O", "binary", "-j", name, str(elf), str(place)]
    subprocess.run(command, check=True)
    return place.read_bytes()


@pytest.mark.parametrize(
    ("name", "chip"), [("stm32f746_qspi", F746), ("stm32h743", H743)], ids=["disco", "nucleo"]
)
def test_a_board_links_with_its_vendors_library(
    name: str, chip: Chip, exported, device: Callable[[str], Device], tmp_path: Path
) -> None:
    cube = os.environ.get(chip.cube, "")
    if not (Path(cube) / "stm32cube.cmake").is_file():
        pytest.skip(f"{chip.cube} names no folder with ST's library and stm32cube.cmake")
    described = device(name)
    export = exported(described, tmp_path / "export")
    source, folder = export / "boards" / str(described.board), tmp_path / "build"
    elf = built(source, folder, f"-D{chip.cube}={cube}", f"-DCMAKE_C_FLAGS={WARNINGS}")
    found, arena = addresses(elf), board.measure(elf).arena
    assert chip.weights[0] <= found["digits_weights"] < chip.weights[1]
    assert chip.arena[0] + described.stack_reserve_bytes <= found["network_arena"]
    assert found["network_arena"] + arena <= chip.arena[1]
    if chip.fast is not None:
        assert chip.fast[0] <= found["network_fast"] < chip.fast[1]

    # every vector is there, and those that the board uses are not ST's endless loop
    vectors = struct.unpack(f"<{16 + chip.interrupts}I", section(elf, ".vectors", folder / "v"))
    position, handler = chip.serial
    assert found["g_pfnVectors"] == FLASH
    assert vectors[0] == found["_estack"] == found["port_stack_end"]
    used = {1: "Reset_Handler", 3: "HardFault_Handler", 15: "SysTick_Handler"}
    for index, function in {**used, 16 + position: handler}.items():
        assert vectors[index] == found[function] | 1  # Thumb
        assert found[function] != found["Default_Handler"]
    assert vectors.count(found["Default_Handler"] | 1) > chip.interrupts / 2

    # what is flashed apart is the weights' file, and nothing of the code
    weights = (export / "firmware" / "digits_weights.bin").read_bytes()
    if chip.weights[0] == FLASH:
        assert weights in (folder / "board.bin").read_bytes()
        assert not (folder / "weights.bin").exists()
    else:
        assert (folder / "weights.bin").read_bytes().startswith(weights)
        assert weights not in (folder / "board.bin").read_bytes()


def test_without_the_library_one_line_says_what_is_missing(
    exported, device: Callable[[str], Device], tmp_path: Path
) -> None:
    export = exported(device("stm32f746_qspi"), tmp_path / "export")
    source = export / "boards" / "stm32f746g_disco"
    command = ["cmake", "-S", str(source), "-B", str(tmp_path), "-DSTM32CUBE_F7=/nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert 'STM32CUBE_F7: got "/nowhere", expected a folder' in done.stderr


def test_a_board_goes_with_its_device(
    exported, device: Callable[[str], Device], tmp_path: Path
) -> None:
    """The folder of another device's board is replaced, and removed where there is none."""
    boards = tmp_path / "boards"
    for name, folders in (
        ("stm32f746", {"stm32f746g_disco"}),
        ("stm32h743", {"nucleo_h743zi"}),
    ):
        exported(device(name), tmp_path)
        assert {path.name for path in boards.iterdir() if path.is_dir()} == folders
    (boards / "nucleo_h743zi" / "mine.c").write_text("int mine;")
    with pytest.raises(ArtifactError, match=r"nucleo_h743zi/mine\.c"):
        exported(device("stm32f100"), tmp_path)
    (boards / "nucleo_h743zi" / "mine.c").unlink()
    exported(device("stm32f100"), tmp_path)
    assert not boards.exists()
