"""The report's stage: a run's networks measured on the test part."""

from __future__ import annotations

import numpy as np

from evolve.space_search.quality import measure_admission, sample_space
from mcuformer.cost import Footprint
from mcuformer.data.dataset import DataConfig, Dataset, load
from mcuformer.data.images import Split
from mcuformer.report.predictions import FILE, predictions
from mcuformer.run.artifact import RunDir, Stage, parsing, read_json, write_json
from mcuformer.run.command import Command
from mcuformer.run.scratch import scratch
from mcuformer.seed import stream
from mcuformer.space import SearchSpace
from oplib.network.model_file import load_model
from oplib.network.reference import IntegerModel, run_float
from oplib.network.source import NetworkSource
from oplib.ops.base import Array
from oplib.target.board import PROGRAM, LinkedSizes, measure
from oplib.target.compare import check_built, check_linked, check_stack, compare
from oplib.target.predict import softmax
from oplib.target.qemu import EmulatedRun
from oplib.target.target import TargetSettings, built_footprint
from oplib.target.tools import installed

ADMISSION_SAMPLES = 1000
INHERITED = NetworkSource(name="search")


class ReportConfig(TargetSettings):
    """Configuration of the report.

    Args:
        data: data set on whose test split the networks are measured.
        space: search space from which subnets are sampled, to count those over the budget.
    """

    data: DataConfig
    space: SearchSpace


def stage(config: ReportConfig) -> Stage:
    """Return the inputs and outputs of the report.

    Raises:
        ArtifactError: nothing has been exported yet.
    """
    run = config.run
    names = ("export.json", "model_int8.json", "model_int8.safetensors", "firmware")
    networks = [*INHERITED.files(run), *NetworkSource.exported(run).files(run)]
    inputs = [*networks, *(run.file(name) for name in names), *config.data.files()]
    content = {**config.content(), "programs": installed()}
    return Stage(REPORT.name, content, list(dict.fromkeys(inputs)), ("report_measured.json", FILE))


def measure_run(config: ReportConfig) -> None:
    """Measure accuracy, memory and work; write ``report_measured.json`` and the predictions.

    No other stage reads the test split. The chain adds the durations of the stages.

    Raises:
        InternalError: reference and C disagree, or planner and linker do.
        BudgetError: the built firmware exceeds the budget although its plan does not.
    """
    run, target = config.run, config.target
    saved = load_model(run.path)
    integer, subnet = saved.integer, saved.subnet
    dataset = load(config.data, subnet.img_size)
    test = dataset.test
    with scratch("build") as builds:
        result = compare(integer, run.path, builds, config.device, test.images[:])
        result.refuse_mismatch()
        elf = builds / "emulated" / PROGRAM
        linked = None if result.emulated is None else measure(elf)
    samples = sample_space(config.space, ADMISSION_SAMPLES, stream(config.seed, "admission"))
    admission, _ = measure_admission(samples, target.cost, target.limit)
    emulated = result.emulated
    logits = float_logits(run, dataset)
    integers = {
        "int8": result.reference,
        "host": result.host,
        "emulated": None if emulated is None else emulated.logits,
    }
    keep_predictions(run, integer, result.reference, logits["float"], dataset)
    counts = None if emulated is None else int(emulated.instructions.max())
    cost = target.cost(subnet)
    content = {
        "device": config.device.name,
        "data": config.data.name,
        "seed": config.seed,
        "space": config.space.point_of(subnet).dump(),
        "subnet": subnet.dump(),
        "accuracy_percent": {
            name: None if values is None else accuracy_percent(values, test)
            for name, values in {**logits, **integers}.items()
        },
        "num_images": {
            name: 0 if values is None else len(values) for name, values in integers.items()
        },
        "bit_exact": result.bit_exact,
        "admission": admission.dump(),
        **memory_report(config, cost.footprint, result.emulated, linked, exported_stack(run)),
        "macs": cost.macs,
        "instructions": counts,
        "time": None if cost.time is None else cost.time.dump(),
        "limit_ms": target.limit.milliseconds,
        "not_verified": list(result.missing),
    }
    write_json(run.file("report_measured.json"), "report", content)


REPORT = Command("report", ReportConfig, stage, measure_run)


def float_logits(run: RunDir, dataset: Dataset) -> dict[str, Array]:
    """Return the logits (B, K) of the test images by both float networks, by name."""
    networks = {"inherited": INHERITED, "float": NetworkSource.exported(run)}
    images, preprocessing = dataset.test.images[:], dataset.preprocessing
    return {
        name: run_float(network.read(run).float_model(preprocessing), images)
        for name, network in networks.items()
    }


def keep_predictions(
    run: RunDir, integer: IntegerModel, reference: Array, floats: Array, dataset: Dataset
) -> None:
    """Write what a page shows of single test images.

    Args:
        run: the run directory.
        integer: the integer network.
        reference: its logits, int32 (B, K).
        floats: logits of the float network, (B, K).
        dataset: the data set.
    """
    scale, test = integer.quant[integer.graph.output].scale, dataset.test
    shares = softmax(reference * scale)
    value_max = dataset.preprocessing.value_max
    predictions(shares, floats, test.labels, test.images, value_max).save(run)


def accuracy_percent(logits: Array, test: Split) -> float:
    """Return the top-1 accuracy of logits (B, K) in percent, rounded to 4 digits."""
    return round(100.0 * float(np.mean(logits.argmax(axis=1) == test.labels)), 4)


def exported_stack(run: RunDir) -> int | None:
    """Return the largest stack of a run's exported firmware in bytes; None if it is not known.

    Raises:
        ArtifactError: ``export.json`` is missing, or is of an older version.
    """
    path = run.file("export.json")
    content = read_json(path, "export")
    with parsing(path):
        bound = content["stack_bound_bytes"]
        return None if bound is None else int(bound)


def memory_report(
    config: ReportConfig,
    planned: Footprint,
    emulated: EmulatedRun | None,
    linked: LinkedSizes | None,
    bound: int | None,
) -> dict[str, dict[str, int | None]]:
    """Return SRAM and flash in bytes: planned, linked and measured; None means "not verified".

    Args:
        config: configuration of the report.
        planned: the exported network's footprint, as planned.
        emulated: what the emulated chip measured, None if it did not run.
        linked: sizes of its firmware, None if it was not built.
        bound: largest stack of the firmware, None if it is not known.

    Raises:
        InternalError: a linked size differs from the planned one.
        BudgetError: the built firmware exceeds the budget although its plan does not.
    """
    limit = config.target.limit
    sram: dict[str, int | None] = dict.fromkeys(
        ("arena_linked", "fast_arena_linked", "static", "stack_high_water", "total")
    )
    flash: dict[str, int | None] = dict.fromkeys(("weights", "code", "total"))
    if emulated is not None and linked is not None:
        check_linked(linked, planned)
        built = built_footprint(linked, emulated.stack_high_water_bytes)
        sram = {
            "arena_linked": built.arena_bytes,
            "fast_arena_linked": built.fast_bytes,
            "static": built.static_bytes,
            "stack_high_water": built.stack_bytes,
            "total": built.sram_bytes,
        }
        flash = {
            "weights": built.weights_bytes,
            "code": built.code_bytes,
            "total": built.flash_bytes,
        }
        check_built(built, config.device, limit)
        if bound is not None:
            check_stack(bound, built.stack_bytes, config.device)
    return {
        "sram_bytes": {
            "arena_planned": planned.arena_bytes,
            "fast_arena_planned": planned.fast_bytes,
            "staged_planned": planned.staged_bytes,
            **sram,
            "stack_bound": bound,
            "budget": limit.sram_bytes,
        },
        "flash_bytes": {**flash, "budget": limit.flash_bytes},
    }
