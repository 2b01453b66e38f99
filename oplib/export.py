"""``python -m oplib.export``: lower a network to integers, emit C, build it and compare."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from mcuformer.data.dataset import DataConfig, Dataset, load
from mcuformer.device import Budget, BudgetConfig, Device, Footprint
from mcuformer.errors import BudgetError, ConfigError, InternalError, ToolMissingError
from mcuformer.pictures import draw_memory
from mcuformer.run import entry
from mcuformer.run.artifact import (
    Arrays,
    Stage,
    load_arrays,
    read_json,
    read_value,
    write_bytes,
    write_json,
)
from mcuformer.run.command import Settings, execute
from mcuformer.run.progress import say
from mcuformer.subnet import SubnetConfig
from mcuformer.value import Value
from oplib.codegen.onnx import export_onnx
from oplib.forms import Forms
from oplib.network.builder import build_graph
from oplib.network.model_file import SEPARATOR, save_model
from oplib.network.reference import FloatModel, IntegerModel
from oplib.network.timm_vit import TimmVit, refuse_unknown_parts
from oplib.network.vit import float_model
from oplib.ops.base import Array
from oplib.ops.quant import QuantParams
from oplib.plan.footprint import arena_limit, footprint
from oplib.plan.schedule import Schedule, schedule
from oplib.plan.timeline import explain, timeline
from oplib.quantize.calibrate import DEFAULT_QUANT, QuantSettings, calibrate
from oplib.quantize.layer_quality import layer_report, warnings
from oplib.quantize.lower import lower, lower_with, prepare
from oplib.target.board import LinkedSizes, cross_build, measure
from oplib.target.compare import Comparison, compare
from oplib.target.firmware import write_firmware
from oplib.target.tools import installed

SOURCES = {
    "finetuned": ("model.safetensors", "finetuned_subnet.json"),
    "search": ("weights.safetensors", "subnet.json"),
    "qat": ("qat.safetensors", "qat.json"),
}
PositiveCount = Annotated[int, Field(ge=1)]


class ExportSettings(Value):
    """How to export.

    Args:
        calibration_images: images of the steering split that set the scales.
        check_images: images on which reference, host C and emulated chip are compared.
        source: the run's fine-tuned network, the search's winner with inherited weights, or what
            evolve.qat trained, with the scales it learned.
        quant: how scales and weights are chosen.
        onnx: also write ``model_float.onnx`` and ``model_int8.onnx``.
        report_images: images of the steering split that the report of every layer looks at.
    """

    calibration_images: PositiveCount = 256
    check_images: PositiveCount = 16
    source: Literal["finetuned", "search", "qat"] = "finetuned"
    quant: QuantSettings = DEFAULT_QUANT
    report_images: PositiveCount = 32
    onnx: bool = False

    @property
    def files(self) -> tuple[str, str]:
        """Return the exported network's files in the run directory: weights and subnet."""
        return SOURCES[self.source]


class ExportConfig(Settings):
    """Configuration of an export.

    Args:
        weights: the user's own safetensors in timm's names, with `vit`; null exports the run's.
        vit: the user's network in timm's vocabulary.
    """

    device: Device
    budget: BudgetConfig
    forms: Forms
    data: DataConfig
    export: ExportSettings
    weights: str | None = None
    vit: TimmVit | None = None


def source_files(config: ExportConfig) -> list[Path]:
    """Return the files the network comes from: weights, and the subnet of a run.

    Raises:
        ConfigError: `weights` without `vit`, or the reverse.
    """
    if (config.weights is None) != (config.vit is None):
        raise ConfigError(
            "a network of your own needs both: weights=FILE.safetensors and vit=./FILE.yaml",
            where="weights" if config.weights is None else "vit",
        )
    if config.weights is not None:
        return [Path(config.weights)]
    return [config.run.file(name) for name in config.export.files]


def stage(config: ExportConfig) -> Stage:
    """Return what the command reads and writes."""
    outputs = (
        "firmware",
        "model_int8.json",
        "model_int8.safetensors",
        "layers.json",
        "export.json",
    )
    inputs = [*source_files(config), *config.data.files()]
    content = {**config.content(), "programs": installed()}
    return Stage("oplib.export", content, inputs, outputs)


def read_network(config: ExportConfig) -> tuple[SubnetConfig, Arrays]:
    """Read subnet and float weights.

    Raises:
        ArtifactError, LoweringError, ConfigError: naming the file, the weight or the field.
    """
    files = source_files(config)
    weights = load_arrays(files[0])
    if config.vit is None and config.export.source == "qat":
        subnet = SubnetConfig.parse(read_json(files[1], "qat")["subnet"], where=str(files[1]))
    elif config.vit is None:
        subnet = read_value(files[1], "subnet", SubnetConfig)
    else:
        refuse_unknown_parts(weights)
        subnet = config.vit.subnet()
    config.data.check_network(subnet)
    return subnet, weights


def lower_network(
    config: ExportConfig, subnet: SubnetConfig, weights: Arrays, dataset: Dataset
) -> tuple[FloatModel, IntegerModel]:
    """Return the network in float and in integers: calibrated, or with learned scales.

    Raises:
        ArtifactError, LoweringError: naming the weight or the layer.
    """
    where, settings = source_files(config)[0], config.export.quant
    if config.weights is None and config.export.source == "qat":
        return read_qat(config, subnet, weights, dataset)
    model = float_model(subnet, weights, dataset.preprocessing, str(where), config.forms)
    few = dataset.steering.images[: config.export.calibration_images]
    model = prepare(model, few, settings)
    return model, lower(model, calibrate(model, few, settings), settings)


def read_qat(
    config: ExportConfig, subnet: SubnetConfig, weights: Arrays, dataset: Dataset
) -> tuple[FloatModel, IntegerModel]:
    """Return what evolve.qat trained.

    Raises:
        ConfigError: it was trained for other forms.
    """
    path = config.run.file("qat.json")
    content = read_json(path, "qat")
    trained = Forms.parse(content["forms"], where=str(path))
    if trained.arithmetic != config.forms.arithmetic:
        raise ConfigError(
            "evolve.qat trained for other forms",
            where="forms",
            got=config.forms.dump(),
            expected=trained.dump(),
        )
    params: dict[str, dict[str, Array]] = {}
    for key, values in weights.items():
        node, _, kind = key.partition(SEPARATOR)
        params.setdefault(node, {})[kind] = values
    model = FloatModel(build_graph(subnet, config.forms), params, dataset.preprocessing)
    quant = {name: QuantParams(float(s), int(z)) for name, (s, z) in content["quant"].items()}
    return model, lower_with(model, quant, {})


def export(config: ExportConfig) -> None:
    """Write ``firmware/``, the integer model and ``export.json``.

    Raises:
        BudgetError: the network does not fit.
        InternalError: reference and C disagree, or planner and linker.
    """
    subnet, weights = read_network(config)
    cost = check_budget(config, subnet)
    dataset = load(config.data, subnet.img_size)
    images, forms = dataset.steering.images, config.forms
    model, integer = lower_network(config, subnet, weights, dataset)
    limit = Budget.of(config.budget, config.device).sram_bytes
    scheduled = schedule(subnet, forms, arena_limit(config.device, limit))
    firmware, build_dir = config.run.file("firmware"), config.run.file("build")
    write_firmware(firmware, integer, scheduled, config.device, dataset.class_names)
    write_picture(config, scheduled)
    save_model(config.run.path, integer, subnet, forms, dataset.class_names)
    shutil.rmtree(build_dir, ignore_errors=True)
    checked = images[: config.export.check_images]
    result = compare(integer, firmware, build_dir, config.device, checked)
    for line in result.missing:
        say(line)
    refuse_mismatch(result)
    count = config.export.report_images
    rows = layer_report(model, integer, images[:count], dataset.steering.labels[:count])
    for line in warnings(rows):
        say(line)
    if config.export.onnx:
        write_bytes(config.run.file("model_float.onnx"), export_onnx(model, None))
        write_bytes(config.run.file("model_int8.onnx"), export_onnx(model, integer))
    write_json(config.run.file("layers.json"), "layers", {"rows": [row.dump() for row in rows]})
    content: dict[str, Any] = {
        "footprint": cost.dump(),
        "bit_exact": result.bit_exact,
        "check_images": len(checked),
        "not_verified": list(result.missing),
        "linked": None,
    }
    try:
        cross_build(firmware, build_dir / "device", "device")
        linked = measure(build_dir / "emulated" / "model.elf")
        check_linked(linked, cost)
        names = ("arena", "weights", "static", "flash")
        content["linked"] = {name: getattr(linked, name) for name in names}
    except ToolMissingError as error:
        say(f"sizes not verified: {error}")
    write_json(config.run.file("export.json"), "export", content)


def write_picture(config: ExportConfig, scheduled: Schedule) -> None:
    """Write ``memory.png``: what lives at each call, and the limit; say if it cannot be drawn."""
    limit = arena_limit(config.device, Budget.of(config.budget, config.device).sram_bytes)
    moments = timeline(scheduled.calls)
    names = [moment.call for moment in moments]
    try:
        picture = draw_memory(
            names, [moment.buffers for moment in moments], limit or 0, scheduled.plan.arena_bytes
        )
    except ToolMissingError as error:
        say(f"memory.png not drawn: {error}")
        return
    write_bytes(config.run.file("memory.png"), picture)


def check_budget(config: ExportConfig, subnet: SubnetConfig) -> Footprint:
    """Return the subnet's footprint.

    Raises:
        BudgetError: with the bytes it needs.
    """
    budget, forms, device = Budget.of(config.budget, config.device), config.forms, config.device
    scheduled = schedule(subnet, forms, arena_limit(device, budget.sram_bytes))
    cost = footprint(subnet, device, forms, budget.sram_bytes)
    cost = cost.model_copy(update={"arena_bytes": scheduled.plan.arena_bytes})  # as emitted
    over_sram, over_flash = cost.exceeds(budget)
    if over_sram or over_flash:
        reason = f"; {explain(scheduled, forms)}" if over_sram else ""
        raise BudgetError(
            f"the network does not fit {device.name}{reason}",
            where="budget",
            got=f"{cost.sram_bytes} bytes of SRAM and {cost.flash_bytes} of flash",
            expected=f"at most {budget.sram_bytes} and {budget.flash_bytes}",
        )
    return cost


def refuse_mismatch(result: Comparison) -> None:
    """Refuse a firmware whose integers are not the reference's.

    Raises:
        InternalError: naming the target.
    """
    for name, exact in result.bit_exact.items():
        if exact is False:
            raise InternalError(f"the {name} C does not equal the numpy reference")


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


def check_measured(stack: int, linked: LinkedSizes, device: Device, budget: Budget) -> None:
    """Check the finished firmware against stack reserve and budget.

    Raises:
        BudgetError: with the bytes measured.
    """
    for where, got, limit in (
        ("device.stack_reserve_bytes", stack, device.stack_reserve_bytes),
        ("budget.sram_bytes", linked.arena + linked.static + stack, budget.sram_bytes),
        ("budget.flash_bytes", linked.flash, budget.flash_bytes),
    ):
        if got > limit:
            raise BudgetError(
                "the built firmware needs more", where=where, got=got, expected=f"at most {limit}"
            )


def main() -> int:
    """Run the command line."""
    return entry.run(
        "oplib_export", ExportConfig, lambda c: execute(c, stage(c), lambda: export(c))
    )


if __name__ == "__main__":
    sys.exit(main())
