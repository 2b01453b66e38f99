"""The programs of an export: built for the board and for the emulator, measured, checked, kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcuformer.cost import Footprint
from mcuformer.device import Device
from mcuformer.errors import ToolMissingError
from mcuformer.run.artifact import RunDir, write_bytes
from mcuformer.run.progress import say
from oplib.target import board
from oplib.target.board import LinkedSizes
from oplib.target.compare import check_linked, check_stack, code_estimate_is_off
from oplib.target.linker import is_emulated
from oplib.target.stack_bound import StackBounds, stack_bounds
from oplib.target.tools import installed

ELF_FILES: dict[board.CrossTarget, str] = {
    "emulated": "build/emulated.elf",
    "device": "build/device.elf",
}
SIZES = ("arena", "fast", "weights", "static", "flash")


@dataclass(frozen=True)
class Built:
    """What was measured of the linked programs.

    Args:
        linked: sizes of the emulated program, of the board's if none is emulated.
        stack: largest stacks of the program that takes most.
        measured_stack: bytes of the stack that the emulated program used; None if it did not run.
    """

    linked: LinkedSizes
    stack: StackBounds
    measured_stack: int | None


def elf_files(device: Device) -> dict[board.CrossTarget, str]:
    """Return the names of the ELF files of a device; one if no emulated board is large enough."""
    names = dict(ELF_FILES)
    if not is_emulated(device):
        del names["emulated"]
    return names


def builds_elf() -> bool:
    """Return whether the programs that build for a board are installed."""
    return set(board.TOOLS) <= set(installed())


def build_programs(
    run: RunDir,
    device: Device,
    name: str,
    planned: Footprint,
    measured_stack: int | None,
    builds: Path,
) -> Built | None:
    """Build an exported network for its device, check the programs and keep the ELF files.

    Args:
        run: run directory of the export.
        device: the device.
        name: name of the network.
        planned: its footprint.
        measured_stack: bytes of the stack that the emulated program used; None if it did not run.
        builds: folder of the builds.

    Returns:
        What was measured, None if the programs that build are not installed.

    Raises:
        InternalError: a linked size differs from the planned one, or more of the stack was used
            than its bound.
        BudgetError: the stack can become larger than the device's file reserves.
    """
    try:
        elves = {
            target: board.cross_build(run.path, builds / target, target)
            for target in elf_files(device)
        }
        linked = board.measure(elves.get("emulated", elves["device"]))
        stacks = [stack_bounds(elf, name) for elf in elves.values()]
    except ToolMissingError as error:
        say(f"sizes not verified: {error}")
        for file in ELF_FILES.values():
            run.file(file).unlink(missing_ok=True)  # an earlier export's
        return None
    built = Built(linked, max(stacks, key=lambda stack: stack.stack_bytes), measured_stack)
    check_linked(linked, planned)
    off = code_estimate_is_off(linked, planned)
    if off is not None:
        say(off)
    check_stack(built.stack.stack_bytes, measured_stack, device)
    for target, file in elf_files(device).items():
        write_bytes(run.file(file), elves[target].read_bytes())
    return built


def built_content(built: Built | None) -> dict[str, Any]:
    """Return what an export's record tells of its programs, in bytes; None is "not verified"."""
    if built is None:
        return dict.fromkeys(("linked", "stack_bound_bytes", "stack"))
    stack = built.stack
    return {
        "linked": {size: getattr(built.linked, size) for size in SIZES},
        "stack_bound_bytes": stack.stack_bytes,
        "stack": {
            "measured_bytes": built.measured_stack,
            "network_bytes": stack.network.stack_bytes,
            "interrupt_bytes": stack.interrupt.stack_bytes,
            "path": list(stack.program.path),
        },
    }
