"""Measurements and faults of the emulator, checked by programs of known behaviour."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mcuformer.device import Device
from mcuformer.errors import FirmwareError
from oplib.target import qemu

SPIN = """\
    uint32_t left = model_input(context)[0] == 0 ? 1000u : 8001000u;
    __asm__ volatile("1: subs %0, #1\\n\\tbne 1b" : "+r"(left) : : "cc");
"""


@pytest.mark.usefixtures("emulator_tools")
@pytest.mark.parametrize("name", ["stm32f100", "stm32f405", "stm32f746"])
def test_instructions_are_counted_exactly(
    small_network,
    write: Callable[..., Path],
    write_program: Callable[[Path, str], None],
    device: Callable[[str], Device],
    tmp_path: Path,
    name: str,
) -> None:
    """A loop of known length adds its length, also where SysTick wraps in between.

    The first pixel chooses between 1,000 and 8,001,000 turns.
    """
    chip = device(name)
    firmware = write(small_network, chip)
    write_program(firmware, SPIN)
    elf = qemu.build(firmware, tmp_path / "emulated")
    images = np.zeros((4, 8, 8, 1), np.uint8)
    images[2:, 0, 0] = 1
    few, few_again, many, many_again = qemu.run_images(elf, chip, images, 10).instructions
    # two instructions per turn; the interrupt of each wrap adds a handful
    for short, long in ((few, many), (few_again, many_again)):
        assert abs(long - short - 16_000_000) <= 1000
    assert 2000 <= few <= 2100


@pytest.mark.usefixtures("emulator_tools")
@pytest.mark.parametrize(
    ("name", "beyond"),
    [
        ("stm32f746", 0x20000000 + 320 * 1024),
        ("stm32f405", 0x20000000 + 128 * 1024),  # SRAM
        ("stm32f405", 0x20100000 + 64 * 1024),  # CCM, at the next megabyte of the generic board
    ],
)
def test_an_access_beyond_the_memory_faults(
    small_network,
    write: Callable[..., Path],
    write_program: Callable[[Path, str], None],
    device: Callable[[str], Device],
    name: str,
    beyond: int,
) -> None:
    """On a generic board, the firmware forbids access to memory that the device lacks."""
    images, chip = small_network.images[:2], device(name)
    firmware = write(small_network, chip)
    # the last byte of the memory for the first image, the next byte for the second
    images[0, 0, 0], images[1, 0, 0] = 0, 1
    write_program(
        firmware, f"    ((volatile uint8_t *){beyond - 1:#x}u)[model_input(context)[0]] = 1;"
    )
    elf = qemu.build(firmware, firmware.parent / "emulated")
    qemu.run_images(elf, chip, images[:1], 10)
    with pytest.raises(FirmwareError, match="exit code 98"):
        qemu.run_images(elf, chip, images, 10)
