"""The weights in flash: one layout in both forms and for every compiler, and a check of them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from mcuformer.device import Device
from mcuformer.errors import FirmwareError
from oplib.codegen.weights_c import WEIGHTS_SECTION, WeightsForm
from oplib.target import host, qemu
from oplib.target.kernel_library import STRICT
from oplib.target.linker import CPU_FLAGS

WEIGHTS = "firmware/model_weights.bin"
FLAGS = f"-std=c99 -O2 -fdata-sections {STRICT}"
COMPILERS = {
    "gcc": ("gcc", "objcopy"),
    "clang": ("clang", "objcopy"),
    **{
        core: (f"arm-none-eabi-gcc {CPU_FLAGS[core]}", "arm-none-eabi-objcopy")
        for core in CPU_FLAGS
    },
}


@pytest.mark.usefixtures("emulator_tools")
@pytest.mark.parametrize("name", COMPILERS)
def test_both_forms_are_the_same_bytes(
    small_network, write: Callable[..., Path], stm32f100: Device, tmp_path: Path, name: str
) -> None:
    """The compiler lays out the struct of the text; the folder has letters that shells treat."""
    compiler, objcopy = COMPILERS[name]
    if shutil.which(compiler.split()[0]) is None:
        pytest.skip(f"{compiler} not found")
    sections = []
    for form in get_args(WeightsForm):
        folder = write(small_network, stm32f100, f"{form} für m'ich", form) / "firmware"
        binary, section = tmp_path / f"{form}.o", tmp_path / f"{form}.section"
        source = [f"-I{folder}", "-c", str(folder / "model_weights.c"), "-o", str(binary)]
        subprocess.run([*compiler.split(), *FLAGS.split(), *source], check=True, cwd=tmp_path)
        names = ["-j", f"{WEIGHTS_SECTION}.model", "-O", "binary"]
        subprocess.run([objcopy, *names, str(binary), str(section)], check=True)
        sections.append(section.read_bytes())
    assert (
        sections[0]
        == sections[1]
        == (folder.parents[1] / "binary für m'ich" / WEIGHTS).read_bytes()
    )


def damage(firmware: Path) -> None:
    """Flip one bit of the last weight."""
    path = firmware / WEIGHTS
    content = bytearray(path.read_bytes())
    content[-1] ^= 0x80
    path.write_bytes(content)


@pytest.mark.usefixtures("emulator_tools")
def test_other_weights_are_noticed(
    small_network, write: Callable[..., Path], stm32f746: Device, tmp_path: Path
) -> None:
    """Before the first layer: by the library and by the emulated program."""
    firmware, images = write(small_network, stm32f746), small_network.images[:1]
    host.run_images(host.build(firmware, tmp_path / "host"), images, 10)
    elf = qemu.build(firmware, tmp_path / "emulated")
    qemu.run_images(elf, stm32f746, images, 10)
    damage(firmware)
    library = host.build(firmware, tmp_path / "host of others")
    with pytest.raises(FirmwareError, match=r"a status .*got -4"):
        host.run_images(library, images, 10)
    elf = qemu.build(firmware, tmp_path / "emulated")  # built again, because the file changed
    with pytest.raises(FirmwareError, match="the weights are not those that the code was"):
        qemu.run_images(elf, stm32f746, images, 10)
