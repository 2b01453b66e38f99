"""``python -m oplib.export``: lower a network to integers, generate C, build and compare it."""

from __future__ import annotations

import shutil
import sys
from typing import Annotated, Any

from pydantic import Field

from mcuformer.data.dataset import DataConfig, Dataset, load
from mcuformer.device import Footprint
from mcuformer.errors import BudgetError, InternalError, ToolMissingError
from mcuformer.pictures import draw_memory
from mcuformer.run.artifact import Stage, write_bytes, write_json
from mcuformer.run.command import Command
from mcuformer.run.progress import say
from mcuformer.subnet import SubnetConfig
from mcuformer.value import Value
from oplib.codegen.onnx import export_onnx
from oplib.network.model_file import save_model
from oplib.network.reference import FloatModel, IntegerModel
from oplib.network.source import NetworkSource, SourceName, SourceNetwork
from oplib.network.timm_vit import TimmVit
from oplib.plan.schedule import Schedule
from oplib.plan.timeline import explain, timeline
from oplib.quantize.calibrate import DEFAULT_QUANT, QuantSettings, calibrate
from oplib.quantize.layer_quality import layer_report, warnings
from oplib.quantize.lower import lower, lower_with, prepare
from oplib.target.board import cross_build, measure
from oplib.target.compare import Comparison, check_linked, compare
from oplib.target.firmware import write_firmware
from oplib.target.target import Target, TargetSettings
from oplib.target.tools import installed

PositiveCount = Annotated[int, Field(ge=1)]


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
    """

    calibration_images: PositiveCount = 256
    check_images: PositiveCount = 16
    source: SourceName = "finetuned"
    quant: QuantSettings = DEFAULT_QUANT
    report_images: PositiveCount = 32
    onnx: bool = False


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
    weights: str | None = None
    vit: TimmVit | None = None

    @property
    def network(self) -> NetworkSource:
        """The network to export."""
        return NetworkSource(name=self.export.source, weights=self.weights, vit=self.vit)


def stage(config: ExportConfig) -> Stage:
    """Return the files and settings that the command reads, and the files that it writes."""
    outputs = (
        "firmware",
        "model_int8.json",
        "model_int8.safetensors",
        "layers.json",
        "export.json",
    )
    inputs = [*config.network.files(config.run), *config.data.files()]
    content = {**config.content(), "programs": installed()}
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
    firmware = config.run.file("firmware")
    write_firmware(firmware, integer, scheduled, target.device, dataset.class_names)
    write_picture(config, scheduled)
    save_model(config.run.path, integer, network.subnet, target.forms, dataset.class_names)
    result = compare_built(config, integer, dataset)
    write_quality(config, model, integer, dataset)
    content: dict[str, Any] = {
        "network": config.network.dump(),
        "footprint": cost.dump(),
        "bit_exact": result.bit_exact,
        "check_images": len(result.reference),
        "not_verified": list(result.missing),
        "linked": linked_sizes(config, cost),
    }
    write_json(config.run.file("export.json"), "export", content)


def fitting_schedule(target: Target, subnet: SubnetConfig) -> tuple[Footprint, Schedule]:
    """Return the subnet's footprint, planned block by block, and the whole network's schedule.

    Raises:
        BudgetError: the network does not fit; with the bytes that it needs.
        InternalError: the plan of the whole network differs from the footprint.
    """
    cost, scheduled, limit = target.cost(subnet), target.schedule(subnet), target.limit
    if cost.arena_bytes != scheduled.plan.arena_bytes:
        raise InternalError(
            "the network's plan needs another arena than its footprint promised",
            got=scheduled.plan.arena_bytes,
            expected=cost.arena_bytes,
        )
    over_sram, over_flash = cost.exceeds(limit)
    if over_sram or over_flash:
        reason = f"; {explain(scheduled, target.forms)}" if over_sram else ""
        raise BudgetError(
            f"the network does not fit {target.device.name}{reason}",
            where="budget",
            got=f"{cost.sram_bytes} bytes of SRAM and {cost.flash_bytes} of flash",
            expected=f"at most {limit.sram_bytes} and {limit.flash_bytes}",
        )
    return cost, scheduled


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
    calibration_images = dataset.steering.images[: config.export.calibration_images]
    model = prepare(model, calibration_images, settings)
    return model, lower(model, calibrate(model, calibration_images, settings), settings)


def write_picture(config: ExportConfig, scheduled: Schedule) -> None:
    """Write ``memory.png``, live bytes at each call and the limit; say so if it cannot be drawn."""
    limit, moments = config.target.arena_bytes, timeline(scheduled.calls)
    names = [moment.call for moment in moments]
    try:
        picture = draw_memory(
            names, [moment.buffers for moment in moments], limit, scheduled.plan.arena_bytes
        )
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


def compare_built(config: ExportConfig, integer: IntegerModel, dataset: Dataset) -> Comparison:
    """Build the firmware afresh and compare it with the integer reference.

    Raises:
        InternalError: reference and C disagree.
    """
    build_dir = config.run.file("build")
    shutil.rmtree(build_dir, ignore_errors=True)
    images = dataset.steering.images[: config.export.check_images]
    result = compare(integer, config.run.file("firmware"), build_dir, config.device, images)
    for line in result.missing:
        say(line)
    result.refuse_mismatch()
    return result


def linked_sizes(config: ExportConfig, cost: Footprint) -> dict[str, int] | None:
    """Build the firmware for the device itself; return the linked sizes, None if not verified.

    Raises:
        InternalError: a linked size differs from the planned one.
    """
    build_dir = config.run.file("build")
    try:
        cross_build(config.run.file("firmware"), build_dir / "device", "device")
        linked = measure(build_dir / "emulated" / "model.elf")
    except ToolMissingError as error:
        say(f"sizes not verified: {error}")
        return None
    check_linked(linked, cost)
    return {name: getattr(linked, name) for name in ("arena", "weights", "static", "flash")}


EXPORT = Command("oplib.export", ExportConfig, stage, export)


if __name__ == "__main__":
    sys.exit(EXPORT.main())
