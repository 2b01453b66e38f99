"""Sizes of a network's firmware, as the linker tells them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from mcuformer.subnet import SubnetConfig
from oplib.codegen.component import Component
from oplib.network.reference import IntegerModel
from oplib.target import board
from oplib.target.board import LinkedSizes
from oplib.target.firmware import write_firmware
from oplib.target.target import Target


def linked_sizes(
    integer: IntegerModel, subnet: SubnetConfig, target: Target, class_names: Sequence[str]
) -> LinkedSizes:
    """Build the firmware of a network for its device, in a temporary folder.

    Raises:
        ToolMissingError: CMake or the cross-compiler is not installed.
        FirmwareError: the build failed; a network larger than the memory fails to link.
    """
    with tempfile.TemporaryDirectory() as place:
        component = Component(integer, target.schedule(subnet), target.device, class_names)
        write_firmware(Path(place), component)
        return board.measure(board.cross_build(Path(place), Path(place, "build"), "device"))
