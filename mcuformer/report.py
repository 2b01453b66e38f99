"""The report of a run, measured on the test split and printed as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from evolve.space_search.quality import measure_admission, sample_space
from mcuformer.cost import Footprint
from mcuformer.data.dataset import DataConfig, load
from mcuformer.data.images import Split
from mcuformer.run.artifact import RunDir, Stage, parsing, read_json, write_json
from mcuformer.run.command import Command
from mcuformer.run.scratch import scratch
from mcuformer.seed import stream
from mcuformer.space import SearchSpace
from mcuformer.subnet import LINEARS, BlockConfig, SubnetConfig
from oplib.network.model_file import load_model
from oplib.network.reference import run_float
from oplib.network.source import NetworkSource
from oplib.ops.base import Array
from oplib.target.board import PROGRAM, LinkedSizes, measure
from oplib.target.board_record import BoardRecord
from oplib.target.compare import check_built, check_linked, check_stack, compare
from oplib.target.qemu import EmulatedRun
from oplib.target.target import TargetSettings, built_footprint
from oplib.target.tools import installed

ADMISSION_SAMPLES = 1000
INHERITED = NetworkSource(name="search")
NOT_VERIFIED = "not verified"


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
    return Stage(REPORT.name, content, list(dict.fromkeys(inputs)), ("report_measured.json",))


def measure_run(config: ReportConfig) -> None:
    """Measure accuracy, memory and work, and write ``report_measured.json``.

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
    logits: dict[str, Array | None] = {
        source: run_float(network.read(run).float_model(dataset.preprocessing), test.images[:])
        for source, network in (("inherited", INHERITED), ("float", NetworkSource.exported(run)))
    }
    integers = {
        "int8": result.reference,
        "host": result.host,
        "emulated": None if emulated is None else emulated.logits,
    }
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


def table(title: str, header: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    """Build a table of text, with the first column aligned left and the others right.

    Cells are text, not markup: class names may hold brackets.
    """
    result = Table(title=Text(title), title_justify="left")
    for index, name in enumerate(header):
        result.add_column(name, justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        result.add_row(*(Text(cell) for cell in row))
    return result


def print_table(result: Table) -> None:
    """Print a table to standard output."""
    console = Console()
    console.print(result)


def show_report(report: Mapping[str, Any], board: BoardRecord | None = None) -> None:
    """Print a run's ``report.json`` as tables.

    Args:
        report: content of the file.
        board: what a board measured of the exported network; None if none did.
    """
    accuracy, exact = report["accuracy_percent"], report["bit_exact"]
    count = report["num_images"]
    rows = [
        ("inherited weights", _percent(accuracy["inherited"]), ""),
        ("float", _percent(accuracy["float"]), ""),
        ("int8, numpy reference", _percent(accuracy["int8"]), f"{count['int8']} test images"),
        ("int8, host C", _percent(accuracy["host"]), _exact(exact["host"], count["host"])),
        (
            "int8, emulated",
            _percent(accuracy["emulated"]),
            _exact(exact["emulated"], count["emulated"]),
        ),
    ]
    print_table(table(f"{report['data']} on {report['device']}", ("network", "accuracy", ""), rows))
    sram, flash = report["sram_bytes"], report["flash_bytes"]
    rows = [
        ("SRAM: arena, planned", _count(sram["arena_planned"]), ""),
        ("SRAM: arena, linked", _count(sram["arena_linked"]), ""),
        *_fast_arena_rows(sram),
        *_staged_rows(sram),
        ("SRAM: static data", _count(sram["static"]), ""),
        ("SRAM: stack, measured", _count(sram["stack_high_water"]), ""),
        ("SRAM: stack, at most", _count(sram.get("stack_bound")), ""),
        ("SRAM: total", _count(sram["total"]), f"of {sram['budget']:,}"),
        ("flash: weights", _count(flash["weights"]), ""),
        ("flash: code", _count(flash["code"]), ""),
        ("flash: total", _count(flash["total"]), f"of {flash['budget']:,}"),
        ("multiply-accumulates", _count(report["macs"]), ""),
        ("instructions per image", _count(report["instructions"]), ""),
        *_time_rows(report["time"], report["limit_ms"]),
        *board_rows(board),
    ]
    print_table(table("memory (bytes) and work", ("", "", "budget"), rows))
    print(describe_network(SubnetConfig.parse(report["subnet"])))
    admission = report["admission"]
    print(
        f"admission: of {admission['sampled']} subnets sampled over the whole space, "
        f"{admission['sram']} exceed SRAM alone, {admission['flash']} flash alone, "
        f"{admission['both']} both, {admission['time']} the time alone; "
        f"{admission['admitted']} fit"
    )
    seconds = report["seconds"]
    parts = ", ".join(f"{name} {value:.0f}" for name, value in seconds.items())
    print(f"seconds: {parts}; together {sum(seconds.values()):.0f}")
    for line in report["not_verified"]:
        print(f"not verified: {line}")


def describe_network(subnet: SubnetConfig) -> str:
    """Return a subnet in one line: tokens, width, and per block heads, MLP and activation.

    >>> block = {"num_heads": 2, "head_dim": 16, "mlp_ratio": 1.5, "activation": "relu"}
    >>> sizes = {"img_size": 8, "patch_size": 4, "in_chans": 1, "num_classes": 10}
    >>> describe_network(SubnetConfig.parse({**sizes, "embed_dim": 48, "blocks": [block]}))
    'network: 4 tokens, width 48, blocks (heads x width, MLP ratio): 2 x 16, 1.5 relu'
    """
    blocks = "; ".join(
        f"{block.num_heads} x {block.head_dim}, {block.mlp_ratio:g} {block.activation}"
        f"{_describe_ranks(block)}"
        for block in subnet.blocks
    )
    size = f"{subnet.num_tokens} tokens, width {subnet.embed_dim}"
    return f"network: {size}, blocks (heads x width, MLP ratio): {blocks}"


def _describe_ranks(block: BlockConfig) -> str:
    """Return the ranks that are a block's own, or nothing.

    >>> block = {"num_heads": 1, "head_dim": 8, "mlp_ratio": 1.0, "ranks": {"qkv": 17, "fc1": 15}}
    >>> _describe_ranks(BlockConfig.parse(block))
    ', ranks qkv 17, fc1 15'
    """
    if block.ranks is None:
        return ""
    ranks = {name: block.ranks.of(name) for name in LINEARS}
    own = ", ".join(f"{name} {rank}" for name, rank in ranks.items() if rank is not None)
    return f", ranks {own}"


def _percent(value: float | None) -> str:
    return NOT_VERIFIED if value is None else f"{value:.2f} %"


def _count(value: int | None) -> str:
    return NOT_VERIFIED if value is None else f"{value:,}"


def _fast_arena_rows(sram: Mapping[str, int | None]) -> list[tuple[str, str, str]]:
    """Return the rows of the fast arena; none where there is none."""
    if not sram["fast_arena_planned"]:
        return []
    return [
        ("SRAM: fast arena, planned", _count(sram["fast_arena_planned"]), ""),
        ("SRAM: fast arena, linked", _count(sram["fast_arena_linked"]), ""),
    ]


def _staged_rows(sram: Mapping[str, int | None]) -> list[tuple[str, str, str]]:
    """Return the row of staged weights, which only the budget counts; none without them."""
    staged = sram.get("staged_planned")  # reports of before lack it
    return [("SRAM: staged weights, not built", _count(staged), "")] if staged else []


def _time_rows(time: Mapping[str, float] | None, limit: float | None) -> list[tuple[str, str, str]]:
    """Return the modelled time as rows of the table: the interval, then both of its terms."""
    if time is None:
        return [("milliseconds", "not modelled", "")]
    interval = f"{time['ms_low']:,.1f} to {time['ms_high']:,.1f}"
    return [
        ("milliseconds, modelled", interval, "" if limit is None else f"of {limit:,.1f}"),
        ("- of the core", f"{time['ms_cpu']:,.1f}", ""),
        ("- of the weights' memory", f"{time['ms_memory']:,.1f}", ""),
    ]


def board_rows(board: BoardRecord | None) -> list[tuple[str, str, str]]:
    """Return the row of a board's time, and of its stack; none where none was measured."""
    if board is None:
        return []
    kind = "emulated board" if board.emulated else "board"
    equal = "" if board.equal else "OTHER LOGITS"
    time = (
        ("instructions", f"{board.cycles.median:,.0f}")
        if board.milliseconds is None
        else ("milliseconds", f"{board.milliseconds.median:,.1f}")
    )
    return [
        (f"{time[0]}, {kind}", time[1], equal),
        (f"SRAM: stack, {kind}", _count(board.stack_bytes), ""),
    ]


def _exact(value: bool | None, images: int) -> str:
    if value is None:
        return ""
    return f"{'equal to' if value else 'DIFFERS FROM'} the reference on {images} images"
