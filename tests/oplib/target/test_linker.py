"""Linker scripts, and the addresses at which the linker places symbols."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from mcuformer.device import Core, Device
from mcuformer.errors import FirmwareError, ToolMissingError
from mcuformer.subnet import SubnetConfig
from oplib.forms import DEFAULT_FORMS
from oplib.target import qemu
from oplib.target.linker import (
    CPU_FLAGS,
    GENERIC_MACHINES,
    GENERIC_OUTSIDE,
    board_header,
    emulated_machine,
    is_emulated,
    linker_script,
)


def test_memory_maps(device: Callable[[str], Device]) -> None:
    chip = device("stm32f427")
    script = linker_script(chip, {r.name: r for r in chip.regions})
    assert "ccm (rwx) : ORIGIN = 0x10000000, LENGTH = 65536" in script
    assert ".arena (NOLOAD) : ALIGN(8) { *(.arena*) } > sram" in script
    assert ".fast_arena (NOLOAD) : ALIGN(8) { *(.fast_arena*) } > ccm" in script
    assert script.index(".stack") < script.index(".fast_arena")  # it grows out of the region
    machine = emulated_machine(chip)
    assert (machine.name, machine.mpu) == ("mps2-an386", True)
    assert machine.regions["ccm"].origin == 0x20100000
    # 192 KB = 128 KB + 64 KB: base, then size code (log2 - 1) << 1 with the enable bit
    header = board_header(machine)
    assert "{0x20000000u, 0x13020021u}" in header
    assert "{0x20020000u, 0x1302001fu}" in header
    assert "BOARD_MPU_REGIONS" not in board_header(emulated_machine(device("stm32f100")))


def test_a_serial_line_is_permitted_to_programs_that_serve(device: Callable[[str], Device]) -> None:
    """4 KB at 0x40004000: size code 11 << 1 with the enable bit; no execution, device memory."""
    header = board_header(emulated_machine(device("stm32f427")))
    permitted = "#ifdef PORT_SERIAL\n#define BOARD_MPU_SERIAL {BOARD_SERIAL, 0x13010017u},\n#else\n"
    assert permitted + "#define BOARD_MPU_SERIAL\n#endif" in header
    assert "#define BOARD_SERIAL_CMSDK\n#define BOARD_SERIAL 0x40004000u" in header
    chip = board_header(emulated_machine(device("stm32f100")))
    assert "#define BOARD_SERIAL_STM32\n#define BOARD_SERIAL 0x40013800u" in chip
    assert "SERIAL" not in board_header(None)
    full = device("stm32f746")  # eight regions of memory: 1 of flash, 7 of SRAM
    sizes = {"sram": 256 * 127, "flash": 1 << 20}
    regions = [r.dump() | {"size_bytes": sizes[r.name]} for r in full.regions]
    header = board_header(emulated_machine(Device.parse(full.dump() | {"regions": regions})))
    assert "#ifdef PORT_SERIAL\n#error " in header
    assert header.count("u}, ") == 8


def test_more_memory_than_the_emulated_board_has(stm32f746: Device) -> None:
    """The generic board has 4 MB of each; a chip with more cannot be emulated on it."""
    regions = tuple(
        r.model_copy(update={"size_bytes": 5 << 20}) if r.name == stm32f746.arena_region else r
        for r in stm32f746.regions
    )
    chip = stm32f746.model_copy(update={"regions": regions})
    assert is_emulated(stm32f746)
    assert not is_emulated(chip)
    message = r"got 5242880, expected at most 4194304 bytes of sram"
    with pytest.raises(ToolMissingError, match=message):
        emulated_machine(chip)


def addresses(elf: Path) -> dict[str, int]:
    """Return the address of each symbol in a linked file."""
    command = ["arm-none-eabi-nm", str(elf)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {
        parts[-1]: int(parts[0], 16)
        for parts in map(str.split, printed.splitlines())
        if len(parts) == 3
    }


def test_kernels_run_from_fast_memory(
    small_network,
    check_agreement,
    small_subnet: SubnetConfig,
    stm32f746: Device,
    tmp_path: Path,
) -> None:
    """The STM32F746's ITCM, 16 KB at 0: inner kernels are copied there, weights to QSPI flash."""
    itcm = {"name": "itcm", "kind": "sram", "origin": 0, "size_bytes": 16384}
    qspi = {"name": "qspi", "kind": "flash", "origin": 0x90000000, "size_bytes": 1 << 24}
    content = stm32f746.dump()
    content |= {"regions": [*content["regions"], itcm, qspi], "fast_code_region": "itcm"}
    chip = Device.parse({**content, "weights_region": "qspi"})
    check_agreement(small_network, small_subnet, DEFAULT_FORMS, chip, tmp_path)
    found = addresses(tmp_path / "emulated" / "network.elf")
    assert found["oplib_tile_linear_s8"] >= 0x20000000
    assert found["model_run"] < 0x20000000
    assert found["model_weights"] >= 0x60000000


@pytest.mark.usefixtures("emulator_tools")
def test_a_network_beyond_the_memory_does_not_link(
    small_network, write: Callable[..., Path], stm32f100: Device, tmp_path: Path
) -> None:
    regions = [
        r.model_copy(update={"size_bytes": 2048}) if r.name == "sram" else r
        for r in stm32f100.regions
    ]
    tiny = stm32f100.model_copy(update={"regions": tuple(regions)})
    with pytest.raises(FirmwareError, match=r"region `sram' overflowed by \d+ bytes"):
        qemu.build(write(small_network, tiny), tmp_path / "emulated")


def test_every_core_can_be_emulated() -> None:
    for table in (CPU_FLAGS, GENERIC_MACHINES, GENERIC_OUTSIDE):
        assert set(table) == set(get_args(Core))
