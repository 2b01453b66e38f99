"""The micro-kernel on every core, with operands that end where the memory ends."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from oplib.target.linker import CPU_FLAGS, GENERIC_MACHINES

ROOT = Path(__file__).resolve().parents[3]
RUNTIME = ROOT / "oplib" / "runtime"
SOURCES = [Path(__file__).with_name("product.c"), RUNTIME / "src" / "product_4x2.c"]
EQUAL, FAULT = 0, 2  # exit codes of product.c
CORES = ("cortex-m3", "cortex-m4", "cortex-m7")


def run(core: str, optimize: str, folder: Path, *options: str) -> int:
    """Return the exit code of product.c on an emulated core."""
    flags = ["-std=gnu99", *CPU_FLAGS[core].split(), optimize, f"-I{RUNTIME / 'include'}"]
    link = ["-nostdlib", "-Wl,--section-start=.vectors=0,-Ttext=0x400,-emain"]
    elf = folder / "product.elf"
    command = ["arm-none-eabi-gcc", *flags, *options, *link, *map(str, SOURCES), "-lgcc"]
    subprocess.run([*command, "-o", str(elf)], check=True)
    command = ["qemu-system-arm", "-M", GENERIC_MACHINES[core], "-kernel", str(elf)]
    command += ["-display", "none", "-monitor", "none", "-serial", "none"]
    command += ["-semihosting-config", "enable=on,target=native"]
    return subprocess.run(command, check=False, timeout=60, capture_output=True).returncode


@pytest.mark.usefixtures("emulator_tools")
@pytest.mark.parametrize("optimize", ["-O0", "-O2"])
@pytest.mark.parametrize("core", CORES)
def test_sums_are_right_and_nothing_beyond_is_read(
    core: str, optimize: str, tmp_path: Path
) -> None:
    assert run(core, optimize, tmp_path) == EQUAL


@pytest.mark.usefixtures("emulator_tools")
@pytest.mark.parametrize("core", CORES)
def test_a_quad_too_many_faults(core: str, tmp_path: Path) -> None:
    assert run(core, "-O2", tmp_path, "-DBEYOND=1") == FAULT
