"""Firmware for the board itself: its own memory map, and what the linker measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mcuformer.device import Device
from mcuformer.errors import FirmwareError
from oplib.target.linker import CPU_FLAGS, OPTIMIZE
from oplib.target.tools import require, run

FLASHED = (".vectors", ".weights", ".fast_code", ".text", ".ARM.exidx")
TOOLS = ("cmake", "arm-none-eabi-gcc", "arm-none-eabi-nm", "arm-none-eabi-size")


@dataclass(frozen=True)
class LinkedSizes:
    """Bytes in a linked ELF file.

    Args:
        arena: the symbol ``model_arena``.
        weights: the symbol ``model_weights``.
        static: initialised and zeroed data, without arena and stack.
        flash: everything that is flashed.
        symbols: size of each symbol.
    """

    arena: int
    weights: int
    static: int
    flash: int
    symbols: dict[str, int]

    @property
    def code(self) -> int:
        """Flash that is not weights."""
        return self.flash - self.weights


def cross_build(
    firmware: Path,
    build_dir: Path,
    target: Literal["emulated", "device"],
    optimize: str = OPTIMIZE,
) -> Path:
    """Compile a firmware folder with the cross-compiler and return the ELF file.

    Args:
        target: the program that reads images by semihosting, or the loop of a board.
        optimize: flags of compiler and linker.

    Raises:
        ToolMissingError, FirmwareError: as the tools say; memory overflow is a link error.
    """
    require(*TOOLS)
    build_dir.mkdir(parents=True, exist_ok=True)
    toolchain = firmware.resolve() / "port" / "cortex_m" / "toolchain.cmake"
    options = [f"-DCMAKE_TOOLCHAIN_FILE={toolchain}", f"-DMODEL_TARGET={target}"]
    options.append(f"-DMODEL_OPTIMIZE={optimize}")
    run(["cmake", "-S", str(firmware), "-B", str(build_dir), *options])
    run(["cmake", "--build", str(build_dir), "--parallel", "2"])
    return build_dir / "model.elf"


def target_settings(device: Device) -> str:
    """Return ``target.cmake``: the compiler flags of a device's core and memory."""
    fast = " -DOPLIB_FAST_CODE_SECTION" if device.fast_code_region is not None else ""
    return f"set(MODEL_CPU_FLAGS {CPU_FLAGS[device.core]}{fast})\n"


def measure(elf: Path) -> LinkedSizes:
    """Read the sizes that the linker gave.

    Raises:
        FirmwareError: a symbol is missing.
    """
    require(*TOOLS)
    symbols = {}
    for line in run(["arm-none-eabi-nm", "--print-size", str(elf)]).stdout.splitlines():
        parts = line.split()
        if len(parts) == 4:
            symbols[parts[3]] = int(parts[1], 16)
    sections = {}
    for line in run(["arm-none-eabi-size", "--format=sysv", str(elf)]).stdout.splitlines():
        parts = line.split()
        if len(parts) == 3 and parts[0].startswith("."):
            sections[parts[0]] = int(parts[1])
    for name in ("model_arena", "model_weights"):
        if name not in symbols:
            raise FirmwareError(f"no symbol {name}", where=elf)
    data, bss = sections.get(".data", 0), sections.get(".bss", 0)
    return LinkedSizes(
        arena=symbols["model_arena"],
        weights=symbols["model_weights"],
        static=data + bss + sections.get(".arena", 0) - symbols["model_arena"],
        flash=data + sum(sections.get(name, 0) for name in FLASHED),
        symbols=symbols,
    )
