"""Boards that start with their vendor's code: where their linker script puts things."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from mcuformer.device import Board, Device
from oplib.target import board_linker
from oplib.target.linker import CPU_FLAGS

# what ST's startup_*.s has and names, and what a network and its programs have
PROGRAM = """\
    .syntax unified
    .section .isr_vector, "a", %progbits
    .global vectors
vectors:
    .word _estack, Reset_Handler
    .text
    .thumb_func
    .global Reset_Handler
Reset_Handler:
    b .
    .word _sidata, _sdata, _edata, _sbss, _ebss, port_stack_start, port_stack_end
    .word __preinit_array_start, __init_array_start, __init_array_end
    .section .init_array, "a", %progbits
    .word Reset_Handler
    .section .rodata.oplib_weights.digits, "a", %progbits
    .global weights
weights:
    .space 100
    .data
    .global initialised
initialised:
    .word 7
    .bss
    .global zeroed
zeroed:
    .space 40
    .section .arena, "aw", %nobits
    .global arena
arena:
    .space 1816
"""
FAST = '    .section .fast_arena, "aw", %nobits\n    .global fast\nfast:\n    .space 64\n'


def link(device: Device, folder: Path) -> dict[str, int]:
    """Link the program for a board; return the address of each symbol."""
    (folder / "device.ld").write_text(board_linker.text(device))
    fast = FAST if device.fast_region is not None else ""
    (folder / "program.s").write_text(PROGRAM + fast)
    command = ["arm-none-eabi-gcc", *CPU_FLAGS[device.core].split(), "-nostdlib"]
    command += ["-Wl,--fatal-warnings", "-T", "device.ld", "program.s", "-o", "program.elf"]
    subprocess.run(command, cwd=folder, check=True)
    printed = subprocess.run(
        ["arm-none-eabi-nm", str(folder / "program.elf")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {line.split()[-1]: int(line.split()[0], 16) for line in printed.splitlines()}


@pytest.mark.usefixtures("emulator_tools")
def test_addresses_on_a_discovery(device: Callable[[str], Device], tmp_path: Path) -> None:
    """RM0385, memory map: flash 0x08000000, SRAM 0x20000000, QSPI 0x90000000."""
    found = link(device("stm32f746_qspi"), tmp_path)
    assert found["vectors"] == 0x08000000
    assert found["weights"] == 0x90000000
    assert 0x08000000 < found["_sidata"] < 0x08000200
    assert (found["port_stack_start"], found["_estack"]) == (0x20000000, 0x20000400)
    assert found["_sdata"] == found["initialised"] == 0x20000400
    assert (found["_edata"], found["_ebss"] - found["_sbss"]) == (0x20000404, 40)
    assert found["_ebss"] <= found["arena"] < 0x20000440
    assert found["arena"] % 8 == 0
    assert found["__init_array_end"] - found["__init_array_start"] == 4


@pytest.mark.usefixtures("emulator_tools")
def test_addresses_on_a_nucleo(device: Callable[[str], Device], tmp_path: Path) -> None:
    """RM0433, memory map: DTCM 0x20000000, AXI SRAM 0x24000000; weights among the code."""
    found = link(device("stm32h743"), tmp_path)
    assert found["vectors"] < found["weights"] < 0x08000400
    assert (found["_estack"], found["fast"]) == (0x24000400, 0x20000000)
    assert 0x24000400 < found["arena"] < 0x24000800


def test_weights_that_are_flashed_apart(device: Callable[[str], Device]) -> None:
    assert '"0x90000000"' in board_linker.settings(device("stm32f746_qspi"))
    assert 'ADDRESS ""' in board_linker.settings(device("stm32f746"))


def test_every_board_has_a_folder(root: Path) -> None:
    folders = root / "oplib" / "runtime" / "boards"
    assert set(get_args(Board)) == {path.name for path in folders.iterdir()}
