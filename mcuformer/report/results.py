"""Sections on what a run found: in one sentence, accuracy, budgets, time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcuformer.cost import NOT_MODELLED, Footprint, ModelledTime
from mcuformer.report.blocks import Bar, Bars, Block, Part, Table, Text
from mcuformer.report.run_files import RunFiles
from mcuformer.report.terminal import NOT_VERIFIED
from mcuformer.run.artifact import read_json, read_value
from mcuformer.space import SpacePoint
from mcuformer.subnet import SubnetConfig
from oplib.target.board_record import BoardRecord

ROOM = 1.04  # length of a bar's track, in the larger of value and limit
COMPUTATIONS = {
    "inherited": "inherited weights, float",
    "float": "float",
    "int8": "int8, integer reference",
    "host": "int8, C on the host",
    "emulated": "int8, C on the emulated chip",
}


@dataclass(frozen=True)
class Tile:
    """A number that stands above everything else, and what it is."""

    value: str
    name: str


def found(files: RunFiles) -> str:
    """Return what the run found, in one sentence."""
    if "oplib.export" not in files.records:
        return _found_so_far(files)
    export = files.export
    subnet, device = files.exported.saved.subnet, export["device"]["name"]
    sizes, time = _built_or_planned(files), _time(files)
    speed = "" if time is None else f", and needs {_interval(time)} per image by the model of time"
    blocks = f"{len(subnet.blocks)} block{'s' if len(subnet.blocks) > 1 else ''}"
    network = f"A vision transformer of {blocks}, {subnet.num_tokens} tokens of width "
    network += f"{subnet.embed_dim},"
    if files.report is None:
        accuracy, count = export["accuracy_percent"]["int8"], export["calibration_images"]
        hits = f"is right on {accuracy:.2f} % of {count} steering images, which its training may "
        hits += "have seen (the test part has not been measured)"
    else:
        accuracy, count = files.report["accuracy_percent"]["int8"], files.report["num_images"]
        hits = f"is right on {accuracy:.2f} % of the {count['int8']:,} test images of "
        hits += str(files.report["data"])
    return (
        f"{network} {hits}; on {device} its int8 firmware takes {sizes.sram_bytes:,} bytes of SRAM "
        f"and {sizes.flash_bytes:,} bytes of flash{speed}."
    )


def _found_so_far(files: RunFiles) -> str:
    """Return what a run without an export found, in one sentence."""
    done = f"This run has exported no network yet: so far it has run {', '.join(files.records)}"
    if "evolve.search" in files.records:
        subnet = read_value(files.run.file("subnet.json"), "subnet", SubnetConfig)
        chosen = f"the subnet search chose a network of {len(subnet.blocks)} blocks, "
        return f"{done}; {chosen}{subnet.num_tokens} tokens of width {subnet.embed_dim}."
    if "evolve.space" in files.records:
        point = SpacePoint.parse(read_json(files.run.file("space.json"), "space")["point"])
        chosen = f"rank ratio {point.rank_ratio:g} and patches of {point.patch_size} pixels"
        return f"{done}; the space search chose {chosen}."
    return f"{done}."


def tiles(files: RunFiles) -> list[Tile]:
    """Return the numbers of the head of the page; none before an export."""
    if "oplib.export" not in files.records:
        return []
    report, time, sizes = files.report, _time(files), _built_or_planned(files)
    limits = files.export["limit_bytes"]
    where = "on test data" if report is not None else "on steering data"
    source = files.export if report is None else report
    kind = "built" if _built(files) is not None else "planned"
    result = [
        Tile(f"{source['accuracy_percent']['int8']:.2f} %", f"int8 accuracy {where}"),
        Tile(f"{sizes.sram_bytes:,} B", f"SRAM, {kind}, of {limits[0]:,}"),
        Tile(f"{sizes.flash_bytes:,} B", f"flash, {kind}, of {limits[1]:,}"),
    ]
    if time is not None:
        result.append(Tile(_interval(time), "per image, modelled"))
    return result


def accuracy(files: RunFiles) -> list[Block]:
    """Show every accuracy, and what equals what."""
    export, report = files.export, files.report
    if report is None:
        measured = export["accuracy_percent"]
        bars = [_percent_bar(name, COMPUTATIONS[name], measured[name]) for name in measured]
        text = f"On {export['calibration_images']} steering images, which set the scales and which "
        text += "training may have seen. The stage report measures the test part."
        return [Bars(bars), Text(text, quiet=True)]
    measured, counts, exact = report["accuracy_percent"], report["num_images"], report["bit_exact"]
    bars = [_percent_bar(name, COMPUTATIONS[name], measured[name]) for name in COMPUTATIONS]
    lines: list[Block] = [Bars(bars)]
    text = f"Top-1, on all {counts['int8']:,} test images, which no other stage reads."
    equal = [
        f"{words}: {'every logit equals' if exact[name] else 'LOGITS DIFFER FROM'} the integer "
        f"reference's on {counts[name]:,} images"
        for name, words in (("host", "C on the host"), ("emulated", "On the emulated chip"))
        if exact[name] is not None
    ]
    lines.append(Text(" ".join([text, *(f"{line}." for line in equal)]), quiet=True))
    lines += [Text(f"Not verified: {line}", quiet=True) for line in report["not_verified"]]
    return [*lines, *_board(files.board)]


def budgets(files: RunFiles) -> list[Block]:
    """Show SRAM and flash as bars against their limits, and what the limits refused."""
    built, planned = _built(files), Footprint.parse(files.export["footprint"])
    shown = planned if built is None else built
    limits = files.export["limit_bytes"]
    stack = "stack, reserved" if built is None else "stack, measured"
    sram = {
        ("c0", "arena"): shown.arena_bytes,
        ("c7", "fast arena"): shown.fast_bytes,
        ("c3", "staged weights, counted but not built"): planned.staged_bytes,
        ("c6", "static data"): shown.static_bytes,
        ("c1", stack): shown.stack_bytes,
    }
    flash = {("c2", "weights"): shown.weights_bytes, ("c4", "code"): shown.code_bytes}
    kept = {key: size for key, size in {**sram, **flash}.items() if size}
    bars = [
        _stacked("SRAM", {key: size for key, size in sram.items() if size}, limits[0]),
        _stacked("flash", flash, limits[1]),
    ]
    weights = files.export["budget"].get("weights_bytes")  # exports of before have none
    if weights is not None:
        bars.append(_stacked("weights alone", {("c2", "weights"): shown.weights_bytes}, weights))
    kind = (
        "As planned: no firmware was built. Code is an estimate."
        if built is None
        else "As the linker measured the firmware, and the stack as the emulated chip used it; "
        f"the plan reserves {planned.stack_bytes:,} bytes of stack."
    )
    bound = files.export["stack_bound_bytes"]
    at_most = "" if bound is None else f" The stack takes at most {bound:,} bytes."
    blocks: list[Block] = [Bars(bars, list(kept)), Text(kind + at_most, quiet=True)]
    if files.report is not None:
        blocks.append(Text(_admission(files.report["admission"]), quiet=True))
    return blocks


def time(files: RunFiles) -> list[Block]:
    """Show the modelled time as an interval, and the work behind it."""
    modelled, report = _time(files), files.report
    blocks: list[Block] = []
    if modelled is None:
        blocks.append(Text(f"The time is {NOT_MODELLED}."))
    else:
        limit = files.export["budget"]["milliseconds"]
        length = ROOM * max(modelled.ms_high, limit or 0.0, 1e-9)
        both = [
            Part(100 * modelled.ms_low / length, "c0", f"at least {modelled.ms_low:,.1f} ms"),
            Part(100 * (modelled.ms_high - modelled.ms_low) / length, "c7", "up to the upper end"),
        ]
        text = _interval(modelled) + ("" if limit is None else f" of {limit:,.1f} ms")
        rows = [
            Bar("an image", both, text, None if limit is None else 100 * limit / length),
            _term("of this, the core", modelled.ms_cpu, length),
            _term("and the memory of the weights", modelled.ms_memory, length),
        ]
        ends = [("c0", "lower end"), ("c7", "up to the upper end")]
        blocks.append(Bars(rows, ends if modelled.ms_low < modelled.ms_high else []))
        text = "Modelled, not measured: the core waits for its weights at best while it computes "
        blocks.append(Text(text + "(lower end), at worst apart from that (upper end).", quiet=True))
    work = [["multiply-accumulates", f"{files.exported.saved.subnet.merged.macs:,}"]]
    if report is not None and report["instructions"] is not None:
        work.append(["instructions on the emulated chip", f"{report['instructions']:,}"])
    board = files.board
    if board is not None and board.milliseconds is not None:
        work.append(["milliseconds on a board, median", f"{board.milliseconds.median:,.1f}"])
    return [*blocks, Table(("per image", ""), work)]


def _board(board: BoardRecord | None) -> list[Block]:
    if board is None:
        return [Text("No board has run this export (oplib.serve).", quiet=True)]
    return [Text(f"Board: {board.describe()} (of the {board.images_from} images).", quiet=True)]


def _percent_bar(name: str, words: str, value: float | None) -> Bar:
    colours = {"inherited": "c5", "float": "c0"}
    if value is None:
        return Bar(words, [], NOT_VERIFIED)
    text = f"{value:.2f} %"
    return Bar(words, [Part(value, colours.get(name, "c2"), text)], text)


def _stacked(name: str, sizes: Mapping[tuple[str, str], int], limit: int) -> Bar:
    """Return a bar of parts in bytes."""
    total = sum(sizes.values())
    length = ROOM * max(total, limit, 1)
    parts = [
        Part(100 * size / length, colour, f"{words}: {size:,} bytes")
        for (colour, words), size in sizes.items()
    ]
    text = f"{total:,} of {limit:,} bytes ({100 * total / max(limit, 1):.0f} %)"
    return Bar(name, parts, text, 100 * limit / length)


def _term(name: str, value: float, length: float) -> Bar:
    text = f"{value:,.1f} ms"
    return Bar(name, [Part(100 * value / length, "c5", text)], text)


def _interval(time: ModelledTime) -> str:
    low, high = f"{time.ms_low:,.1f}", f"{time.ms_high:,.1f}"
    return f"{low} ms" if low == high else f"{low} to {high} ms"


def _time(files: RunFiles) -> ModelledTime | None:
    content = files.export["time"]
    return None if content is None else ModelledTime.parse(content)


def _built(files: RunFiles) -> Footprint | None:
    """Return the bytes of the built firmware; None where none was measured."""
    if files.report is None or files.report["flash_bytes"]["total"] is None:
        return None
    sram, flash = files.report["sram_bytes"], files.report["flash_bytes"]
    return Footprint(
        arena_bytes=sram["arena_linked"],
        fast_bytes=sram["fast_arena_linked"],
        static_bytes=sram["static"],
        stack_bytes=sram["stack_high_water"],
        weights_bytes=flash["weights"],
        code_bytes=flash["code"],
    )


def _built_or_planned(files: RunFiles) -> Footprint:
    return _built(files) or Footprint.parse(files.export["footprint"])


def _admission(counts: Mapping[str, Any]) -> str:
    """Return what the budget left of the space, in a sentence."""
    return (
        f"Of {counts['sampled']:,} subnets sampled over the whole space, "
        f"{counts['admitted']:,} fit: "
        f"{counts['sram']:,} exceed SRAM alone, {counts['flash']:,} flash alone, "
        f"{counts['both']:,} both, {counts['time']:,} the time alone."
    )
