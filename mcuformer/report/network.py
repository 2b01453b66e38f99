"""Sections on the exported network: its shape, memory by call, flash by layer, quantisation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mcuformer.errors import ArtifactError
from mcuformer.pictures import without_number
from mcuformer.report.blocks import Bar, Bars, Block, Details, Figure, Grid, Part, Table, Text
from mcuformer.report.run_files import RunFiles
from mcuformer.report.svg import Axis, Chart
from mcuformer.run.artifact import parsing, read_json
from oplib.plan.timeline import Moment, timeline
from oplib.quantize.layer_quality import BAD_DECIBELS
from oplib.size import run_sizes

COLOURS = 9  # kinds of buffers with a colour of their own; c9 is all others
SHOWN_ROWS = 8


def shape(files: RunFiles) -> list[Block]:
    """Show the network block by block."""
    subnet = files.exported.saved.subnet
    rows = [
        [
            str(number),
            f"{block.num_heads} x {block.head_dim}",
            f"{block.mlp_ratio:g}",
            block.activation,
        ]
        for number, block in enumerate(subnet.blocks)
    ]
    text = (
        f"{subnet.in_chans} x {subnet.img_size} x {subnet.img_size} pixels become "
        f"{subnet.num_tokens} tokens of width {subnet.embed_dim} (tokenizer {subnet.tokenizer}, "
        f"patches of {subnet.patch_size} x {subnet.patch_size}, rank ratio {subnet.rank_ratio:g}); "
        f"{subnet.merged.num_params:,} parameters, {subnet.merged.macs:,} multiply-accumulates."
    )
    table = Table(("block", "heads x width", "MLP ratio", "activation"), rows, words=4)
    return [Text(text), Details(f"Blocks: {len(rows)}", [table])]


def memory(files: RunFiles) -> list[Block]:
    """Show the bytes that are live during each call."""
    exported = files.exported
    target = exported.target
    scheduled = target.schedule(exported.saved.subnet)
    moments, plan = timeline(scheduled), scheduled.plan
    arena = [moment.buffers for moment in moments]
    blocks: list[Block] = [_timeline("arena", moments, arena, plan.arena_bytes, target.arena_bytes)]
    if plan.fast_bytes:
        fast = [moment.fast for moment in moments]
        blocks.append(_timeline("fast arena", moments, fast, plan.fast_bytes, target.fast_bytes))
    peak = max(moments, key=lambda moment: moment.arena_bytes)
    text = (
        "As planned, call by call; the linker's arena has the same size. Most is live at "
        f"{peak.call}, {peak.arena_bytes:,} bytes."
    )
    if peak.arena_bytes < plan.arena_bytes:
        text += f" The arena has {plan.arena_bytes:,}: buffers are aligned and keep their place."
    rows = [
        [str(number), moment.call, _largest(moment), f"{moment.arena_bytes:,}"]
        for number, moment in enumerate(moments)
    ]
    table = Table(("call", "name", "largest buffer", "live bytes"), rows, words=3)
    words: list[Block] = [Text(text, quiet=True), Details(f"All {len(rows)} calls", [table])]
    return [Grid([*([block] for block in blocks), words])]


def _largest(moment: Moment) -> str:
    if not moment.buffers:
        return ""
    name, size = max(moment.buffers.items(), key=lambda item: item[1])
    return f"{name} {size:,}"


def _timeline(
    name: str,
    moments: Sequence[Moment],
    live: Sequence[Mapping[str, int]],
    size: int,
    limit: int,
) -> Figure:
    """Return the live bytes of an arena by call, stacked by kind of buffer."""
    kinds = [Counter[str]() for _ in live]
    totals: Counter[str] = Counter()
    for sums, buffers in zip(kinds, live, strict=True):
        for buffer, count in buffers.items():
            sums[without_number(buffer)] += count
        totals.update(sums)
    kept = [kind for kind, _ in totals.most_common(COLOURS)]
    top = limit if limit <= 2 * size else size
    chart = Chart(
        f"Live bytes of the {name}",
        f"{len(moments)} calls; {size:,} bytes planned, {limit:,} allowed.",
        Axis("call", -0.5, len(moments) - 0.5, *_call_ticks(moments)),
        Axis("live bytes", 0.0, 1.08 * max(top, 1)),
    )
    bottoms = [0] * len(moments)
    legend = []
    for number, kind in enumerate([*kept, None]):
        boxes = []
        for call, counts in enumerate(kinds):
            others = sum(count for other, count in counts.items() if other not in kept)
            height = others if kind is None else counts[kind]
            if height:
                left, right = call - 0.47, call + 0.47
                boxes.append((left, bottoms[call], right, bottoms[call] + height))
                bottoms[call] += height
        if boxes:
            chart.boxes(boxes, f"c{number}")
            legend.append((f"c{number}", "others" if kind is None else kind))
    chart.across(size, "c5", f"{name} {size:,}")
    if top == limit:
        chart.across(limit, "limit", f"limit {limit:,}")
    beyond = "" if top == limit else f"; the limit, {limit:,}, lies beyond the picture"
    return Figure(chart.markup(), f"Bytes of the {name} by call{beyond}", legend)


def _call_ticks(moments: Sequence[Moment]) -> tuple[list[float], list[str]]:
    """Return the first call of each block, up to eight of them, and the numbers of the blocks."""
    first: dict[str, int] = {}
    for number, moment in enumerate(moments):
        parts = moment.call.split(".")
        if parts[0] == "blocks" and len(parts) > 1:
            first.setdefault(parts[1], number)
    step = -(-len(first) // 8) or 1
    chosen = list(first.items())[::step]
    return [float(number) for _, number in chosen], [f"block {block}" for block, _ in chosen]


def flash(files: RunFiles) -> list[Block]:
    """Show the flash by kind and by layer of the network."""
    files.needs("oplib.export")
    path = files.run.file("firmware/manifest.json")
    with parsing(path):
        nodes = read_json(path, "firmware")["nodes"]
        layers = [(str(node["name"]), int(node["weights_bytes"])) for node in nodes]
    groups: Counter[str] = Counter()
    for name, size in layers:
        parts = name.split(".")
        groups[" ".join(["block", parts[1]]) if parts[0] == "blocks" else name] += size
    total = sum(groups.values())
    blocks: list[Block] = []
    try:
        kinds = run_sizes(files.run)["device"].flash
        blocks.append(_kinds(kinds))
    except ArtifactError as error:
        blocks.append(Text(f"By kind: not shown ({error}).", quiet=True))
    longest = max(groups.values(), default=1) or 1
    bars = [
        Bar(name, [Part(100 * size / longest, "c2", f"{size:,} bytes")], _shared(size, total))
        for name, size in groups.items()
    ]
    blocks += [Text("Weights, tables and requantisation constants by layer:"), Bars(bars)]
    rows = [[name, f"{size:,}"] for name, size in layers]
    table = Table(("call", "bytes of weights"), rows)
    return [*blocks, Details(f"All {len(rows)} calls", [table])]


def _shared(size: int, total: int) -> str:
    return f"{size:,} bytes, {100 * size / max(total, 1):.0f} %"


def _kinds(kinds: Mapping[str, int]) -> Bars:
    """Return the flash of the board's program as one bar, by kind."""
    total = sum(kinds.values())
    ordered = sorted(((size, kind) for kind, size in kinds.items() if size), reverse=True)
    coloured = [(f"c{min(number, 9)}", kind, size) for number, (size, kind) in enumerate(ordered)]
    parts = [Part(100 * size / max(total, 1), c, f"{kind}: {size:,}") for c, kind, size in coloured]
    legend = [(colour, f"{kind} {size:,}") for colour, kind, size in coloured]
    return Bars([Bar("the board's program, as linked", parts, f"{total:,} bytes")], legend)


def quantisation(files: RunFiles) -> list[Block]:
    """Show the signal-to-noise ratio of each layer's tensor."""
    files.needs("oplib.export")
    path = files.run.file("layers.json")
    with parsing(path):
        rows: list[dict[str, Any]] = read_json(path, "layers")["rows"]
        ratios = [float(row["snr_db"]) for row in rows]
        figure = _ratios(ratios)
        worst = sorted(rows, key=lambda row: float(row["snr_db"]))[:SHOWN_ROWS]
        tables = [_quality(worst, "The lowest ratios"), _quality(rows, "")]
    text = (
        "Signal-to-noise ratio of the integer network's tensors against the float network's, on "
        "steering images, with the errors of all earlier layers. Below "
        f"{BAD_DECIBELS:g} dB a layer is remarked on."
    )
    all_rows = Details(f"All {len(rows)} tensors", [tables[1]])
    return [Grid([[figure, Text(text, quiet=True), all_rows], [tables[0]]])]


def _ratios(ratios: Sequence[float]) -> Figure:
    low = min([*ratios, BAD_DECIBELS], default=0.0)
    chart = Chart(
        "Signal to noise by layer",
        f"{len(ratios)} tensors, from {min(ratios):.1f} to {max(ratios):.1f} dB.",
        Axis("tensor, in the order of execution", -0.5, len(ratios) - 0.5),
        Axis("dB", min(0.0, low), 1.08 * max(*ratios, BAD_DECIBELS)),
        height=210,
    )
    bars = [(i - 0.42, chart.y.low, i + 0.42, ratio) for i, ratio in enumerate(ratios)]
    good = [bar for bar in bars if bar[3] >= BAD_DECIBELS]
    chart.boxes(good, "c0")
    chart.boxes([bar for bar in bars if bar not in good], "c4")
    chart.across(BAD_DECIBELS, "limit", f"{BAD_DECIBELS:g} dB")
    return Figure(chart.markup(), "Signal-to-noise ratio by layer; higher is better")


def _quality(rows: Sequence[Mapping[str, Any]], caption: str) -> Table:
    cells = [
        [
            str(row["tensor"]),
            str(row["op"]),
            str(row["dtype"]),
            f"{row['snr_db']:.1f}",
            f"{row['saturated_percent']:.2f}",
            f"{row['alone_cost_percent']:.2f}",
        ]
        for row in rows
    ]
    header = ("tensor", "operator", "type", "dB", "saturated %", "costs alone, points")
    return Table(header, cells, words=3, caption=caption)
