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
from mcuformer.data.dataset import DataConfig, Dataset, load
from mcuformer.errors import ToolMissingError
from mcuformer.limits import ImageCount, PathText, TestImageCount
from mcuformer.pictures import MemoryUse, draw_memory
from mcuformer.run.artifact import RunDir, Stage, parsing, write_bytes, write_json
from mcuformer.run.command import Command
from mcuformer.run.progress import say
from mcuformer.run.scratch import scratch
from mcuformer.value import Value
from oplib.codegen.component import Component
from oplib.codegen.names import NetworkName
from oplib.codegen.onnx import export_onnx
from oplib.codegen.selftest_c import BuiltInImages
from oplib.codegen.weights_c import WeightsForm
from oplib.network.model_file import save_model
from oplib.network.reference import FloatModel, IntegerModel, run_float, run_integer
from oplib.network.source import NetworkSource, SourceName, SourceNetwork
from oplib.network.timm_vit import TimmVit
from oplib.ops.base import Array
from oplib.package.package import PackageKind, write_package
from oplib.plan.schedule import Schedule
from oplib.plan.timeline import timeline
from oplib.quantize.calibrate import DEFAULT_QUANT, QuantSettings, calibrate
from oplib.quantize.layer_quality import layer_report, warnings
from oplib.quantize.lower import lower, lower_with, prepare
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
from oplib.target.fitting import fitting_schedule
from oplib.target.predict import image_brightness
from oplib.target.target import TargetSettings
from oplib.target.tools import installed

APPLICATION_BYTES = 16384  # of flash that built-in images leave to whoever calls the network


class ExportSettings(Value):
    """Settings of an export.

    Args:
        calibration_images: number of images of the steering split that set the scales.
        check_images: number of images on which reference, host C and emulated chip are compared.
        source: the network to export: ``finetuned``, ``search`` (the search's winner with inherited
            weights) or ``qat`` (the network of evolve.qat with the scales it learned).
        quant: how scales and weights are chosen.
        report_images: number of images of the steering split in the report on every layer.
        onnx: whether to write ``model_float.onnx`` and ``model_int8.onnx`` as well.
        weights: ``binary``, which gcc and clang take in, or ``text``, C for other compilers.
        name: what the network is called in C: prefix of its functions, types and files.
        test_images: images of the steering split that the firmware has built in for its self-test,
            at most; fewer where the device's flash has no room for them.
        package: whether to write the network as a package as well, and for which system.
    """

    calibration_images: ImageCount = 256
    check_images: ImageCount = 16
    source: SourceName = "finetuned"
    quant: QuantSettings = DEFAULT_QUANT
    report_images: ImageCount = 32
    onnx: bool = False
    weights: WeightsForm = "binary"
    name: NetworkName = "model"
    test_images: TestImageCount = 10
    package: PackageKind | None = None


class ExportConfig(TargetSettings):
    """Configuration of an export.

    Args:
        data: the images for calibration and comparison.
        export: settings of the export.
        weights: the user's own safetensors in timm's names, with `vit`; null exports the run's.
        vit: the user's network in timm's vocabulary.
    """

    data: DataConfig
    export: ExportSettings
    weights: PathText | None = None
    vit: TimmVit | None = None

    @property
    def network(self) -> NetworkSource:
        """The network to export."""
        return NetworkSource(name=self.export.source, weights=self.weights, vit=self.vit)


def stage(config: ExportConfig) -> Stage:
    """Return the files and settings that the command reads, and the files that it writes.

    Raises:
        ArtifactError: a generated folder holds files that no export wrote.
    """
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
    )
    inputs = [*config.network.files(config.run), *config.data.files()]
    content = {**config.content(), "programs": installed(), "board": config.device.board}
    return Stage(EXPORT.name, content, inputs, outputs)


def export(config: ExportConfig) -> None:
    """Write ``firmware/``, the integer model and ``export.json``.

    Raises:
        ArtifactError: naming the file or the weight.
        LoweringError: naming the layer.
        BudgetError: the network does not fit.
        InternalError: reference and C disagree, or planner and linker do.
    """
    network, target = config.network.read(config.run), config.target
    config.data.check_network(network.subnet)
    cost, scheduled = fitting_schedule(target, network.subnet)
    dataset = load(config.data, network.subnet.img_size)
    model, integer = lower_network(config, network, dataset)
    images = calibration_images(config, dataset)
    facts: dict[str, Any] = {
        "network": config.network.dump(),
        "budget": target.budget.dump(),
        "limit_bytes": [target.limit.sram_bytes, target.limit.flash_bytes],
        "accuracy_percent": measured_accuracy(model, integer, images, dataset.steering.labels),
        "calibration_images": len(images),
        "footprint": cost.footprint.dump(),
        "time": None if cost.time is None else cost.time.dump(),
    }
    component = Component(
        model=integer,
        scheduled=scheduled,
        device=target.device,
        class_names=dataset.class_names,
        name=config.export.name,
        weights=config.export.weights,
        tests=built_in_images(config, cost.footprint, dataset),
        cost=cost,
        facts={"subnet": network.subnet.dump(), "versions": versions(), **facts},
    )
    write_firmware(config.run.path, component)
    write_package(config.run.path, component, config.export.package)
    write_picture(config, scheduled)
    save_model(config.run.path, integer, network.subnet, target.forms, dataset.class_names)
    with scratch("build") as builds:
        result = compare_built(config, integer, dataset, builds)
        stack = None if result.emulated is None else result.emulated.stack_high_water_bytes
        built = build_programs(
            config.run, config.device, config.export.name, cost.footprint, stack, builds
        )
    write_quality(config, model, integer, dataset)
    content: dict[str, Any] = {
        **facts,
        "device": target.device.dump(),
        "brightness": image_brightness(images, dataset.preprocessing),
        "bit_exact": result.bit_exact,
        "check_images": len(result.reference),
        "not_verified": list(result.missing),
        **built_content(built),
    }
    write_json(config.run.file("export.json"), "export", content)
    for line in summary(content, config.run):
        say(line)


def built_in_images(config: ExportConfig, planned: Footprint, dataset: Dataset) -> BuiltInImages:
    """Return the images for the self-test: as many as asked for and as the flash has room for.

    Args:
        config: configuration of the export.
        planned: bytes of the firmware without them.
        dataset: the images.
    """
    device, steering = config.device, dataset.steering
    region = device.region(device.flash_regions[-1])
    used = planned.flash_bytes if device.weights_region is None else planned.weights_bytes
    room = region.size_bytes - used - APPLICATION_BYTES
    count = min(config.export.test_images, max(0, room // steering.images[0].size))
    return BuiltInImages(steering.images[:count], steering.labels[:count])


def versions() -> dict[str, str]:
    """Return the versions that a firmware's numbers depend on."""
    return {"mcuformer": __version__, "numpy": np.__version__, "python": python_version()}


def measured_accuracy(
    model: FloatModel, integer: IntegerModel, images: Array, labels: Array
) -> dict[str, float]:
    """Return the top-1 accuracy in percent of both networks.

    Args:
        model: the float network.
        integer: the integer network.
        images: raw pixels (B, H, W, C).
        labels: class numbers, (at least B,).
    """
    logits = {"float": run_float(model, images), "int8": run_integer(integer, images)}
    return {
        name: round(100.0 * float(np.mean(values.argmax(axis=1) == labels[: len(images)])), 4)
        for name, values in logits.items()
    }


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
        accuracy, count = content["accuracy_percent"], content["calibration_images"]
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
            f"accuracy on {count} steering images (fine-tuning has seen them): "
            f"float {accuracy['float']:.2f} %, int8 {accuracy['int8']:.2f} %",
            "; ".join([f"firmware: {run.file('firmware')}", verified, *missing]),
        ]


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


def lower_network(
    config: ExportConfig, network: SourceNetwork, dataset: Dataset
) -> tuple[FloatModel, IntegerModel]:
    """Return the network in float and in integers: calibrated, or with learned scales.

    Raises:
        ArtifactError: naming the weight.
        LoweringError: naming the layer.
        ConfigError: the scales were learned for other forms.
    """
    settings = config.export.quant
    model = network.float_model(dataset.preprocessing, config.forms)
    if network.learned is not None:
        return model, lower_with(model, network.learned.quant, {})
    images = calibration_images(config, dataset)
    model = prepare(model, images, settings)
    return model, lower(model, calibrate(model, images, settings), settings)


def calibration_images(config: ExportConfig, dataset: Dataset) -> Array:
    """Return the raw images (B, H, W, C) that set the scales."""
    return dataset.steering.images[: config.export.calibration_images]


def write_picture(config: ExportConfig, scheduled: Schedule) -> None:
    """Write ``memory.png``, live bytes at each call and the limit; say so if it cannot be drawn."""
    target, plan, moments = config.target, scheduled.plan, timeline(scheduled)
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


def write_quality(
    config: ExportConfig, model: FloatModel, integer: IntegerModel, dataset: Dataset
) -> None:
    """Write ``layers.json``, the quality of each layer, and the ONNX files if asked for."""
    steering, count = dataset.steering, config.export.report_images
    rows = layer_report(model, integer, steering.images[:count], steering.labels[:count])
    for line in warnings(rows):
        say(line)
    write_json(config.run.file("layers.json"), "layers", {"rows": [row.dump() for row in rows]})
    if config.export.onnx:
        write_bytes(config.run.file("model_float.onnx"), export_onnx(model, None))
        write_bytes(config.run.file("model_int8.onnx"), export_onnx(model, integer))


def compare_built(
    config: ExportConfig, integer: IntegerModel, dataset: Dataset, builds: Path
) -> Comparison:
    """Build the firmware in the folder `builds` and compare it with the integer reference.

    Raises:
        InternalError: reference and C disagree.
    """
    images = dataset.steering.images[: config.export.check_images]
    result = compare(integer, config.run.path, builds, config.device, images)
    for line in result.missing:
        say(line)
    result.refuse_mismatch()
    return result


EXPORT = Command("oplib.export", ExportConfig, stage, export)


if __name__ == "__main__":
    sys.exit(EXPORT.main())
