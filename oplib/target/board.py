"""Cross-compiled firmware: the build, and the sizes in the linked file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mcuformer.device import Device
from mcuformer.errors import FirmwareError
from oplib.target import kernel_library
from oplib.target.linker import CPU_FLAGS, OPTIMIZE
from oplib.target.tools import require, run

FLASHED = (".vectors", ".weights", ".fast_code", ".text", ".ARM.exidx")
TOOLCHAIN = "port/cortex_m/toolchain.cmake"
TARGET_SETTINGS = "target.cmake"
CrossTarget = Literal["emulated", "device"]
TOOLS = ("cmake", "arm-none-eabi-gcc", "arm-none-eabi-nm", "arm-none-eabi-size")


@dataclass(frozen=True)
class LinkedSizes:
    """Bytes in a linked ELF file.

    Args:
        arena: size of the symbol ``model_arena``.
        fast: size of the symbol ``model_fast_arena``; 0 where it is not used.
        weights: size of the symbol ``model_weights``.
        static: size of initialised and zeroed data, without arenas and stack.
        flash: size of everything that is flashed, initial values of data included.
        symbols: size of every symbol by name.
    """

    arena: int
    fast: int
    weights: int
    static: int
    flash: int
    symbols: dict[str, int]

    @property
    def code(self) -> int:
        """Size of everything in flash but the weights."""
        return self.flash - self.weights


def cross_build(
    firmware: Path,
    build_dir: Path,
    target: CrossTarget,
    optimize: str = OPTIMIZE,
) -> Path:
    """Compile a firmware folder with the cross-compiler and return the ELF file.

    Args:
        firmware: firmware folder.
        build_dir: folder of the build, created if missing.
        target: "emulated" for the program that reads images by semihosting, "device" for the main
            loop of a board.
        optimize: optimisation flags of compiler and linker.

    Raises:
        ToolMissingError: CMake or the cross-compiler is not installed.
        FirmwareError: the build failed; a network larger than the memory fails to link.
    """
    require(*TOOLS)
    toolchain = firmware.resolve() / TOOLCHAIN
    options = [f"-DCMAKE_TOOLCHAIN_FILE={toolchain}", f"-DMODEL_TARGET={target}"]
    kernel_library.build(
        firmware,
        build_dir,
        "arm-none-eabi-gcc",
        {"MODEL_OPTIMIZE": optimize},
        (TARGET_SETTINGS, TOOLCHAIN),
        options,
    )
    return build_dir / "model.elf"


def target_settings(device: Device) -> str:
    """Return ``target.cmake``: the compiler flags for a device's core and memory."""
    fast = " -DOPLIB_FAST_CODE_SECTION" if device.fast_code_region is not None else ""
    return f"set(MODEL_CPU_FLAGS {CPU_FLAGS[device.core]}{fast})\n"


def measure(elf: Path) -> LinkedSizes:
    """Read the sizes of sections and symbols from a linked ELF file.

    Raises:
        ToolMissingError: the cross-compiler's tools are not installed.
        FirmwareError: the arena or the weights have no symbol.
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
    arena, fast = symbols["model_arena"], symbols.get("model_fast_arena", 0)
    data = sections.get(".data", 0)
    zeroed = sum(sections.get(name, 0) for name in (".bss", ".arena", ".fast_arena"))
    return LinkedSizes(
        arena=arena,
        fast=fast,
        weights=symbols["model_weights"],
        static=data + zeroed - arena - fast,
        flash=data + sum(sections.get(name, 0) for name in FLASHED),
        symbols=symbols,
    )
