"""Compare the integer reference, host C and emulated C on the same images, byte for byte."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcuformer.device import Device
from mcuformer.errors import ToolMissingError
from oplib.network.reference import IntegerModel, run_integer
from oplib.ops.base import Array
from oplib.target import host, qemu
from oplib.target.qemu import EmulatedRun


@dataclass(frozen=True)
class Comparison:
    """What the three computations gave; None where a tool is missing, which `missing` explains.

    Args:
        reference: int32 logits (B, K) of the numpy reference.
        host: of the host C. emulated: of the emulated chip, with its counts.
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
