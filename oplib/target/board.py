"""Cross-compiled firmware: the build, and the sizes in the linked file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mcuformer.errors import FirmwareError
from oplib.target import kernel_library
from oplib.target.kernel_library import Compilation
from oplib.target.linker import OPTIMIZE
from oplib.target.tools import require, run

FLASHED = (".vectors", ".weights", ".test_images", ".fast_code", ".text", ".ARM.exidx")
ZEROED = (".bss", ".arena", ".fast_arena")
TOOLCHAIN = "port/cortex_m/toolchain.cmake"
SETTINGS = "port/target.cmake"
PROGRAM = "network.elf"
CrossTarget = Literal["emulated", "device"]
TOOLS = (
    "cmake",
    "arm-none-eabi-gcc",
    "arm-none-eabi-nm",
    "arm-none-eabi-size",
    "arm-none-eabi-objdump",
)


@dataclass(frozen=True)
class LinkedSizes:
    """Bytes in a linked ELF file.

    Args:
        arena: size of the section of the arena.
        fast: size of the section of the fast arena; 0 where it is not used.
        weights: size of the section of the weights.
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
    folder: Path,
    build_dir: Path,
    target: CrossTarget,
    optimize: str = OPTIMIZE,
    settings: tuple[str, ...] = (),
) -> Path:
    """Compile an exported network with the cross-compiler and return the ELF file.

    Args:
        folder: what :func:`oplib.target.firmware.write_firmware` wrote.
        build_dir: folder of the build, created if missing.
        target: "emulated" for the program that reads images by semihosting, "device" for the main
            loop of a board.
        optimize: optimisation flags of compiler and linker.
        settings: options of CMake for the program.

    Raises:
        ToolMissingError: CMake or the cross-compiler is not installed.
        FirmwareError: the build failed; a network larger than the memory fails to link.
    """
    require(*TOOLS)
    toolchain = folder.resolve() / TOOLCHAIN
    compilation = Compilation(
        compiler="arm-none-eabi-gcc",
        flags=kernel_library.setting(folder / SETTINGS, "NETWORK_CPU_FLAGS"),
        definitions=kernel_library.setting(folder / SETTINGS, "NETWORK_DEFINITIONS"),
        optimize=optimize,
        options=(f"-DCMAKE_TOOLCHAIN_FILE={toolchain}",),
        settings=settings,
    )
    kernel_library.build(folder, f"port/{target}", build_dir, compilation)
    return build_dir / PROGRAM


def measure(elf: Path) -> LinkedSizes:
    """Read the sizes of sections and symbols from a linked ELF file.

    Raises:
        ToolMissingError: the cross-compiler's tools are not installed.
        FirmwareError: the arena or the weights have no section.
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
    for name in (".arena", ".weights"):
        if name not in sections:
            raise FirmwareError(f"no section {name}", where=elf)
    arena, fast = sections[".arena"], sections.get(".fast_arena", 0)
    data = sections.get(".data", 0)
    zeroed = sum(sections.get(name, 0) for name in ZEROED)
    return LinkedSizes(
        arena=arena,
        fast=fast,
        weights=sections[".weights"],
        static=data + zeroed - arena - fast,
        flash=data + sum(sections.get(name, 0) for name in FLASHED),
        symbols=symbols,
    )
