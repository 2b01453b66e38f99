"""Compare what the reference computes and the planner promises with what was built.

Integer reference, host C and emulated C run the same images and must agree byte for byte; the
linker must measure the bytes that were planned.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcuformer.device import Budget, Device, Footprint
from mcuformer.errors import BudgetError, InternalError, ToolMissingError
from oplib.network.reference import IntegerModel, run_integer
from oplib.ops.base import Array
from oplib.target import host, qemu
from oplib.target.board import LinkedSizes
from oplib.target.qemu import EmulatedRun


@dataclass(frozen=True)
class Comparison:
    """What the three computations gave; None where a tool is missing, which `missing` explains.

    Args:
        reference: int32 logits (B, K) of the numpy reference.
        host: of the host C.
        emulated: of the emulated chip, with its counts.
        missing: what was not verified and why.
    """

    reference: Array
    host: Array | None
    emulated: EmulatedRun | None
    missing: tuple[str, ...]

    @property
    def bit_exact(self) -> dict[str, bool | None]:
        """Tell for each target whether every logit equals the reference; None: not verified."""
        emulated = None if self.emulated is None else self.emulated.logits
        return {
            name: None if logits is None else bool(np.array_equal(logits, self.reference))
            for name, logits in (("host", self.host), ("emulated", emulated))
        }

    def refuse_mismatch(self) -> None:
        """Refuse a firmware whose integers are not the reference's.

        Raises:
            InternalError: naming the target.
        """
        for name, exact in self.bit_exact.items():
            if exact is False:
                raise InternalError(f"the {name} C does not equal the numpy reference")


def compare(
    model: IntegerModel, firmware: Path, build_dir: Path, device: Device, images: Array
) -> Comparison:
    """Build a firmware folder for host and emulator and run raw images (B, H, W, C) through both.

    A missing tool leaves its part unverified and is told; every other fault is an error.

    Raises:
        FirmwareError: building or running failed.
    """
    reference = run_integer(model, images)
    num_classes = reference.shape[1]
    host_logits, emulated, missing = None, None, []
    try:
        library = host.build(firmware, build_dir / "host")
        host_logits = host.run_images(library, images, num_classes)
    except ToolMissingError as error:
        missing.append(f"host C not verified: {error}")
    try:
        elf = qemu.build(firmware, build_dir / "emulated")
        emulated = qemu.run_images(elf, device, images, num_classes)
    except ToolMissingError as error:
        missing.append(f"emulated chip not verified: {error}")
    return Comparison(reference, host_logits, emulated, tuple(missing))


def check_linked(linked: LinkedSizes, planned: Footprint) -> None:
    """Check that the linker measured what the planner promised.

    Raises:
        InternalError: arena or weights differ.
    """
    for name, got, expected in (
        ("arena", linked.arena, planned.arena_bytes),
        ("weights", linked.weights, planned.weights_bytes),
    ):
        if got != expected:
            raise InternalError(f"linked {name} differs from the plan", got=got, expected=expected)


def check_built(built: Footprint, device: Device, budget: Budget) -> None:
    """Check a finished firmware against stack reserve and budget.

    Args:
        built: what was linked, with the stack that was measured.
        device: whose stack reserve was linked.
        budget: the limits.

    Raises:
        BudgetError: with the bytes measured.
    """
    for where, got, limit in (
        ("device.stack_reserve_bytes", built.stack_bytes, device.stack_reserve_bytes),
        ("budget.sram_bytes", built.sram_bytes, budget.sram_bytes),
        ("budget.flash_bytes", built.flash_bytes, budget.flash_bytes),
    ):
        if got > limit:
            raise BudgetError(
                "the built firmware needs more", where=where, got=got, expected=f"at most {limit}"
            )
