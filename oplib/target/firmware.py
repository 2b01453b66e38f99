"""Write a firmware folder: the runtime unchanged, the generated C and the linker scripts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from mcuformer.device import Device
from mcuformer.run.artifact import replacing_directory
from oplib.codegen.model_c import emit
from oplib.network.reference import IntegerModel
from oplib.plan.check_plan import check_plan
from oplib.plan.schedule import Schedule
from oplib.target.board import target_settings
from oplib.target.linker import board_header, emulated_machine, linker_script

RUNTIME = Path(__file__).resolve().parents[1] / "runtime"


def write_firmware(
    path: Path,
    model: IntegerModel,
    scheduled: Schedule,
    device: Device,
    class_names: Sequence[str],
) -> None:
    """Write the firmware folder, whole or not at all; equal inputs give equal bytes.

    Args:
        path: folder to create or replace.
        model: integer network.
        scheduled: calls of the network and their memory plan.
        device: device to link for.
        class_names: name of each logit's class.

    Raises:
        PlanError: the plan breaks a rule; nothing is written.
    """
    check_plan(scheduled.calls, scheduled.plan)
    machine = emulated_machine(device)
    own_regions = {name: device.region(name) for name in device.used_regions}
    files = {
        **emit(model, scheduled, device, class_names),
        "target.cmake": target_settings(device),
        "device.ld": linker_script(device, own_regions),
        "device/board.h": board_header(None),
        "emulated.ld": linker_script(device, machine.regions),
        "emulated/board.h": board_header(machine),
    }
    with replacing_directory(path) as temporary:
        shutil.copytree(RUNTIME, temporary, dirs_exist_ok=True)
        for name, text in files.items():
            (temporary / name).parent.mkdir(exist_ok=True)
            (temporary / name).write_text(text)
