"""Compare a built firmware with the reference's logits and the planner's bytes.

Integer reference, host C and emulated C run the same images and must agree bit for bit; the linked
sizes must be the planned ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcuformer.cost import Footprint
from mcuformer.device import Budget, Device
from mcuformer.errors import BudgetError, InternalError, ToolMissingError
from oplib.network.reference import IntegerModel, run_integer
from oplib.ops.base import Array
from oplib.target import host, qemu
from oplib.target.board import LinkedSizes
from oplib.target.linker import emulated_machine
from oplib.target.qemu import EmulatedRun

CODE_TOLERANCE = 0.1  # share of the estimate


@dataclass(frozen=True)
class Comparison:
    """Results of the three computations.

    Args:
        reference: int32 logits (B, K) of the numpy reference.
        host: int32 logits (B, K) of the host C; None if a tool is missing.
        emulated: logits and counts of the emulated chip; None if a tool is missing.
        missing: what was not verified and why, one message per computation.
    """

    reference: Array
    host: Array | None
    emulated: EmulatedRun | None
    missing: tuple[str, ...]

    @property
    def bit_exact(self) -> dict[str, bool | None]:
        """For each target, whether all logits equal the reference's; None if not verified."""
        emulated = None if self.emulated is None else self.emulated.logits
        return {
            name: None if logits is None else bool(np.array_equal(logits, self.reference))
            for name, logits in (("host", self.host), ("emulated", emulated))
        }

    def refuse_mismatch(self) -> None:
        """Refuse a firmware whose logits differ from the reference's.

        Raises:
            InternalError: naming the target.
        """
        for name, exact in self.bit_exact.items():
            if exact is False:
                raise InternalError(f"the {name} C does not equal the numpy reference")


def compare(
    model: IntegerModel, folder: Path, build_dir: Path, device: Device, images: Array
) -> Comparison:
    """Build a firmware for host and emulator and run the same images through both.

    A missing tool, or an emulated board that is too small, leaves its computation unverified, with
    a message in the result; every other fault is an error.

    Args:
        model: the integer network that the firmware was generated from.
        folder: what :func:`oplib.target.firmware.write_firmware` wrote.
        build_dir: folder for the builds.
        device: device to emulate.
        images: raw pixels (B, H, W, C).

    Raises:
        FirmwareError: building or running failed.
    """
    reference = run_integer(model, images)
    num_classes = reference.shape[1]
    host_logits, emulated, missing = None, None, []
    try:
        library = host.build(folder, build_dir / "host")
        host_logits = host.run_images(library, images, num_classes)
        host.selftest(library)
    except ToolMissingError as error:
        missing.append(f"host C not verified: {error}")
    try:
        emulated_machine(device)
        elf = qemu.build(folder, build_dir / "emulated")
        emulated = qemu.run_images(elf, device, images, num_classes)
    except ToolMissingError as error:
        missing.append(f"emulated chip not verified: {error}")
    return Comparison(reference, host_logits, emulated, tuple(missing))


def check_linked(linked: LinkedSizes, planned: Footprint) -> None:
    """Check that linked sizes equal the planned ones.

    Raises:
        InternalError: an arena or the weights differ.
    """
    for name, got, expected in (
        ("arena", linked.arena, planned.arena_bytes),
        ("fast arena", linked.fast, planned.fast_bytes),
        ("weights", linked.weights, planned.weights_bytes),
    ):
        if got != expected:
            raise InternalError(f"linked {name} differs from the plan", got=got, expected=expected)


def code_estimate_is_off(linked: LinkedSizes, planned: Footprint) -> str | None:
    """Return a line if the linked code is not within a tenth of its estimate, else None.

    It is no fault: the estimate was measured with one compiler, and another makes other code.
    """
    if abs(linked.code - planned.code_bytes) <= CODE_TOLERANCE * planned.code_bytes:
        return None
    return (
        f"code takes {linked.code:,} bytes and was estimated at {planned.code_bytes:,}, with "
        "another compiler; the search and the budget count the estimate"
    )


def check_stack(bound: int, measured: int | None, device: Device) -> None:
    """Check the bound of a program's stack against what was measured and what is reserved.

    Args:
        bound: bytes that the stack can take at most.
        measured: bytes that it took while the program ran; None if it did not run.
        device: device with the stack reserve.

    Raises:
        InternalError: more than the bound was measured.
        BudgetError: the bound exceeds the reserve.
    """
    if measured is not None and measured > bound:
        raise InternalError("the stack exceeds its bound", got=measured, expected=bound)
    if bound > device.stack_reserve_bytes:
        raise BudgetError(
            "the firmware's stack can become larger",
            where="device.stack_reserve_bytes",
            got=device.stack_reserve_bytes,
            expected=f"at least {-(-bound // 8) * 8}",
        )


def check_built(built: Footprint, device: Device, budget: Budget) -> None:
    """Check a finished firmware against stack reserve and budget.

    Args:
        built: linked sizes, and the stack as measured.
        device: device with the stack reserve.
        budget: limits of SRAM and flash.

    Raises:
        BudgetError: naming the limit, with the bytes measured.
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
