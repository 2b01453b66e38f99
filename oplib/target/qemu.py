"""Run an exported network on an emulated Cortex-M, within the device's memory limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcuformer.device import Device
from mcuformer.errors import FirmwareError
from mcuformer.run.folder import writing
from mcuformer.run.scratch import scratch
from oplib.ops.base import Array
from oplib.target.board import cross_build
from oplib.target.linker import OPTIMIZE, Machine, emulated_machine
from oplib.target.tools import require, run

TOOLS = ("cmake", "arm-none-eabi-gcc", "arm-none-eabi-nm", "arm-none-eabi-size", "qemu-system-arm")
NANOSECONDS_PER_INSTRUCTION = 64  # -icount shift=6
TIMEOUT_SECONDS = 540.0


@dataclass(frozen=True)
class EmulatedRun:
    """Results of an emulated firmware.

    Args:
        logits: int32 logits (B, K).
        instructions: instructions that ``network_run`` executed for each image (B,).
        stack_high_water_bytes: largest stack depth over all images.
    """

    logits: Array
    instructions: Array
    stack_high_water_bytes: int


def build(folder: Path, build_dir: Path, optimize: str = OPTIMIZE) -> Path:
    """Compile an exported network for the emulated machine and return the ELF file.

    Args:
        folder: what :func:`oplib.target.firmware.write_firmware` wrote.
        build_dir: folder of the build, created if missing.
        optimize: optimisation flags of compiler and linker.

    Raises:
        ToolMissingError: CMake, the cross-compiler or the emulator is not installed.
        FirmwareError: the build failed; a network larger than the memory fails to link.
    """
    require(*TOOLS)
    return cross_build(folder, build_dir, "emulated", optimize)


def emulator_command(elf: Path, machine: str, serial: str) -> list[str]:
    """Return the command that runs a program, in which time is instructions executed.

    Args:
        elf: program.
        machine: name of the emulated machine for which it was linked.
        serial: what its serial line is connected to, in the emulator's terms.
    """
    command = ["qemu-system-arm", "-M", machine, "-kernel", str(elf.resolve())]
    command += ["-nographic", "-monitor", "none", "-serial", serial, "-icount", "shift=6"]
    return [*command, "-semihosting-config", "enable=on,target=native"]


def emulate(elf: Path, machine: str, directory: Path, trace: Path | None = None) -> str:
    """Run a program on the emulator until it ends; return what it printed.

    Args:
        elf: program.
        machine: name of the emulated machine for which it was linked.
        directory: working directory, where the program reads and writes its files.
        trace: file or pipe that receives a line for every executed block, or None.

    Raises:
        ToolMissingError: the emulator is not installed.
        FirmwareError: the program faulted, ended with an error or hung.
    """
    require("qemu-system-arm")
    command = emulator_command(elf, machine, serial="none")
    if trace is not None:
        command += ["-d", "exec,nochain", "-D", str(trace)]
    result = run(command, directory=directory, timeout=TIMEOUT_SECONDS)
    return result.stdout + result.stderr


def instructions(ticks: Array, machine: Machine) -> Array:
    """Return the number of instructions executed in that many clock ticks."""
    nanoseconds = ticks.astype(np.float64) * (1e9 / machine.clock_hz)
    return np.rint(nanoseconds / NANOSECONDS_PER_INSTRUCTION).astype(np.int64)


def run_images(elf: Path, device: Device, images: Array, num_classes: int) -> EmulatedRun:
    """Run raw uint8 images (B, H, W, C) through the firmware.

    Raises:
        FirmwareError: the firmware faulted or ended early.
    """
    machine = emulated_machine(device)
    raw = np.ascontiguousarray(images, dtype=np.uint8)
    with scratch("qemu") as directory:
        results_file = directory / "results.bin"
        with writing(directory):
            (directory / "images.bin").write_bytes(raw.tobytes())
        emulate(elf, machine.name, directory)
        results = results_file.read_bytes() if results_file.exists() else b""
    record = np.dtype([("logits", "<i4", (num_classes,)), ("ticks", "<u8")])
    if len(results) != len(raw) * record.itemsize + 4:
        raise FirmwareError("the firmware ended early", where=elf, got=f"{len(results)} bytes")
    records = np.frombuffer(results[:-4], dtype=record)
    return EmulatedRun(
        logits=records["logits"].astype(np.int32),
        instructions=instructions(records["ticks"], machine),
        stack_high_water_bytes=int.from_bytes(results[-4:], "little"),
    )
