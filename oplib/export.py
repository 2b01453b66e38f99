"""``python -m oplib.export``: lower a network to integers, generate C, build and compare it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from platform import python_version
from typing import Any

import numpy as np

from mcuformer import __version__
from mcuformer.cost import NOT_MODELLED, Footprint, ModelledTime
from mcuformer.errors import ConfigError, ToolMissingError
from mcuformer.pictures import MemoryUse, draw_memory
from mcuformer.run.artifact import RunDir, Stage, parsing, write_bytes, write_json
from mcuformer.run.command import Command
from mcuformer.run.progress import say
from mcuformer.run.scratch import scratch
from oplib.codegen.component import Component
from oplib.codegen.onnx import export_onnx
from oplib.codegen.selftest_c import BuiltInImages
from oplib.export_config import ExportConfig
from oplib.exportable import Exportable, exportable, taken_files, taken_outputs
from oplib.network.model_file import save_model
from oplib.network.source import NetworkSource, save_network
from oplib.package.package import write_package
from oplib.plan.schedule import Schedule
from oplib.plan.timeline import timeline
from oplib.target.built import build_programs, builds_elf, built_content, elf_files
from oplib.target.compare import Comparison, compare
from oplib.target.firmware import (
    BOARDS,
    COMPONENT,
    PACKAGE,
    PORT,
    refuse_foreign_files,
    write_firmware,
)
from oplib.target.target import Target
from oplib.target.tools import installed

APPLICATION_BYTES = 16384  # of flash that built-in images leave to whoever calls the network


def stage(config: ExportConfig) -> Stage:
    """Return the files and settings that the command reads, and the files that it writes.

    Raises:
        ArtifactError: a generated folder holds files that no export wrote.
        ConfigError: `network` names nothing, or its float weights would replace another run's.
    """
    if config.network is not None:
        refuse_own_networks(config)
    refuse_foreign_files(config.run.path)
    outputs = (
        COMPONENT,
        PORT,
        *([PACKAGE] if config.export.package else []),
        *((BOARDS,) if config.device.board is not None else ()),
        "model_int8.json",
        "model_int8.safetensors",
        "layers.json",
        "export.json",
        *(elf_files(config.device).values() if builds_elf() else ()),
        *(() if config.network is None else taken_outputs(config.network)),
    )
    if config.network is None:
        inputs = [*config.source.files(config.run), *config.data.files()]
    else:
        inputs = taken_files(config.network)
    content = {**config.content(), "programs": installed(), "board": config.device.board}
    return Stage(EXPORT.name, content, inputs, outputs)


def refuse_own_networks(config: ExportConfig) -> None:
    """Refuse a run with networks of its own for one that is taken from elsewhere.

    Raises:
        ConfigError: other stages than the export wrote into the run.
    """
    others = [record.stage for record in config.run.records() if record.stage != EXPORT.name]
    if others or config.run.path.resolve() == Path(str(config.network)).resolve():
        raise ConfigError(
            f"a run with a network of its own; {config.network} needs another folder",
            where="run_dir",
            got=config.run.path,
        )


def export(config: ExportConfig) -> None:
    """Write ``firmware/``, the integer model and ``export.json``.

    Raises:
        ArtifactError: naming the file or the weight.
        LoweringError: naming the layer.
        BudgetError: the network does not fit.
        InternalError: reference and C disagree, or planner and linker do.
    """
    found = exportable(config)
    integer, target, cost = found.integer, found.target, found.cost
    facts: dict[str, Any] = {
        "network": found.source.dump(),
        "budget": target.budget.dump(),
        "limit_bytes": [target.limit.sram_bytes, target.limit.flash_bytes],
        **found.accuracy,
        "calibration_images": found.calibration_images,
        "footprint": cost.footprint.dump(),
        "time": None if cost.time is None else cost.time.dump(),
    }
    component = Component(
        model=integer,
        scheduled=found.scheduled,
        device=target.device,
        class_names=found.class_names,
        name=config.export.name,
        weights=config.export.weights,
        tests=built_in_images(config, found),
        cost=cost,
        facts={"subnet": found.subnet.dump(), "versions": versions(), **facts},
    )
    write_firmware(config.run.path, component)
    write_package(config.run.path, component, config.export.package)
    write_picture(config, target, found.scheduled)
    save_model(config.run.path, integer, found.subnet, target.forms, found.class_names)
    if config.network is not None:
        save_network(config.run, found.network)
    with scratch("build") as builds:
        result = compare_built(config, found, builds)
        stack = None if result.emulated is None else result.emulated.stack_high_water_bytes
        built = build_programs(
            config.run, config.device, config.export.name, cost.footprint, stack, builds
        )
    write_json(config.run.file("layers.json"), "layers", {"rows": found.layers})
    write_onnx(config, found)
    content: dict[str, Any] = {
        **facts,
        "device": target.device.dump(),
        "brightness": found.brightness,
        "bit_exact": result.bit_exact,
        "check_images": len(result.reference),
        "not_verified": list(result.missing),
        **built_content(built),
    }
    write_json(config.run.file("export.json"), "export", content)
    for line in summary(content, config.run):
        say(line)


def built_in_images(config: ExportConfig, found: Exportable) -> BuiltInImages:
    """Return the images for the self-test: as many as asked for and as the flash has room for."""
    device, planned = config.device, found.cost.footprint
    region = device.region(device.flash_regions[-1])
    used = planned.flash_bytes if device.weights_region is None else planned.weights_bytes
    room = region.size_bytes - used - APPLICATION_BYTES
    image_bytes = found.subnet.img_size**2 * found.subnet.in_chans
    count = min(config.export.test_images, max(0, room // image_bytes))
    return BuiltInImages(found.images[:count], found.labels[:count])


def versions() -> dict[str, str]:
    """Return the versions that a firmware's numbers depend on."""
    return {"mcuformer": __version__, "numpy": np.__version__, "python": python_version()}


def summary(content: Mapping[str, Any], run: RunDir) -> list[str]:
    """Return what ``export.json`` tells, in seven lines, and one more on staged weights.

    Args:
        content: content of the file.
        run: run directory of the export.

    Raises:
        ArtifactError: a part is missing.
    """
    with parsing(run.file("export.json")):
        device, network = content["device"]["name"], NetworkSource.parse(content["network"])
        cost, limits = Footprint.parse(content["footprint"]), content["limit_bytes"]
        time = None if content["time"] is None else ModelledTime.parse(content["time"])
        accuracy = content["accuracy_percent"]
        exact = [name for name, equal in content["bit_exact"].items() if equal]
        checked, missing = content["check_images"], content["not_verified"]
        stack = stack_line(content, cost)
        fast = f"fast arena {cost.fast_bytes:,}, " if cost.fast_bytes else ""
        staged = f"staged weights {cost.staged_bytes:,}, " if cost.staged_bytes else ""
        verified = f"equal to numpy on {checked} images: {', '.join(exact) or 'nothing'}"
        return [
            f"exported {network.describe()} for {device}",
            f"SRAM {cost.sram_bytes:,} of {limits[0]:,} bytes: arena {cost.arena_bytes:,}, "
            f"{fast}{staged}static data {cost.static_bytes:,}, stack {cost.stack_bytes:,}",
            stack,
            *staging_lines(cost),
            f"flash {cost.flash_bytes:,} of {limits[1]:,} bytes: weights {cost.weights_bytes:,}, "
            f"code {cost.code_bytes:,}",
            f"time of an image, modelled: {NOT_MODELLED if time is None else time.describe()}",
            f"accuracy on {accuracy_images(content)}: "
            f"float {accuracy['float']:.2f} %, int8 {accuracy['int8']:.2f} %",
            "; ".join([f"firmware: {run.file('firmware')}", verified, *missing]),
        ]


def accuracy_images(content: Mapping[str, Any]) -> str:
    """Return a clause on the images of an export's accuracies."""
    if content.get("accuracy_part", "steering") == "steering":  # exports of before lack it
        return f"{content['calibration_images']} steering images (fine-tuning has seen them)"
    return f"{content['accuracy_images']:,} test images, measured when the network was made"


def stack_line(content: Mapping[str, Any], cost: Footprint) -> str:
    """Return a line on the stack: what is reserved, its bound, and what was measured."""
    bound, stack = content["stack_bound_bytes"], content["stack"]
    if bound is None:
        return f"stack not verified: {cost.stack_bytes:,} bytes are reserved"
    measured = stack["measured_bytes"]
    used = "not measured" if measured is None else f"{measured:,} measured"
    return (
        f"stack at most {bound:,} of {cost.stack_bytes:,} bytes reserved, with room for an "
        f"interrupt: {used}"
    )


def staging_lines(cost: Footprint) -> list[str]:
    """Return a line on what a footprint with staged weights counts that the firmware lacks."""
    if not cost.staged_bytes:
        return []
    return [
        "budget.memory_model=staged counts weights as if they were copied to SRAM; the firmware "
        f"reads them in flash and takes {cost.firmware_sram_bytes:,} bytes of SRAM"
    ]


def write_picture(config: ExportConfig, target: Target, scheduled: Schedule) -> None:
    """Write ``memory.png``, live bytes at each call and the limit; say so if it cannot be drawn."""
    plan, moments = scheduled.plan, timeline(scheduled)
    arena = [moment.buffers for moment in moments]
    memories = [MemoryUse("arena", arena, target.arena_bytes, plan.arena_bytes)]
    if plan.fast_bytes:
        fast = [moment.fast for moment in moments]
        memories.append(MemoryUse("fast arena", fast, target.fast_bytes, plan.fast_bytes))
    try:
        picture = draw_memory([moment.call for moment in moments], memories)
    except ToolMissingError as error:
        say(f"memory.png not drawn: {error}")
        return
    write_bytes(config.run.file("memory.png"), picture)


def write_onnx(config: ExportConfig, found: Exportable) -> None:
    """Write the ONNX files if asked for."""
    if config.export.onnx:
        write_bytes(config.run.file("model_float.onnx"), export_onnx(found.floating, None))
        write_bytes(config.run.file("model_int8.onnx"), export_onnx(found.floating, found.integer))


def compare_built(config: ExportConfig, found: Exportable, builds: Path) -> Comparison:
    """Build the firmware in the folder `builds` and compare it with the integer reference.

    Raises:
        InternalError: reference and C disagree.
    """
    images = found.check_images(config.export.check_images, config.seed)
    result = compare(found.integer, config.run.path, builds, config.device, images)
    for line in result.missing:
        say(line)
    result.refuse_mismatch()
    return result


EXPORT = Command("oplib.export", ExportConfig, stage, export)


if __name__ == "__main__":
    sys.exit(EXPORT.main())
