"""Sections on the searches: Pareto fronts, the path through the space, training curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

from mcuformer.report.blocks import Block, Details, Figure, Grid, Table, Text
from mcuformer.report.run_files import NotShown, RunFiles, read_lines, thinned
from mcuformer.report.svg import Axis, Chart, Point, element
from mcuformer.run.artifact import parsing, read_json
from mcuformer.space import SearchSpace

COSTS = {  # of search.jsonl: what it is, its unit in the file's, and the field of its limit
    "sram_bytes": ("SRAM", "KB", 1024.0, "sram_bytes"),
    "flash_bytes": ("flash", "KB", 1024.0, "flash_bytes"),
    "ms_high": ("modelled time, upper end", "ms", 1.0, "milliseconds"),
}
VALIDATED = {
    "smallest_percent": ("c1", "smallest subnet"),
    "median_percent": ("c0", "median"),
    "largest_percent": ("c2", "largest"),
    "random_percent": ("c5", "random subnets"),
}


def fronts(files: RunFiles) -> list[Block]:
    """Show accuracy against each cost of every candidate of the subnet search."""
    record = files.needs("evolve.search")
    path, rows = files.run.file("search.jsonl"), files.rows("search.jsonl")
    if not rows:
        raise NotShown("The subnet search left no candidates (search.jsonl).")
    with parsing(path):
        evaluator = str(record.config["evaluator"]["name"])
        pruned = read_json(files.run.file("subnet.json"), "subnet")
        winner = next((row for row in rows if row["fits"] and row["subnet"] == pruned), None)
        limits = record.config["budget"]
        figures = [
            _front(rows, name, winner, limits[COSTS[name][3]])
            for name in COSTS
            if any(row[name] is not None for row in rows)
        ]
        fitting = sum(bool(row["fits"]) for row in rows)
        finalists = [row for row in rows if row["int8_percent"] is not None]
    kind = "Predicted accuracy" if "predictor" in evaluator else "Accuracy"
    text = (
        f"{kind} on steering data of all {len(rows):,} candidates, as the evaluator {evaluator} "
        f"tells it, not on test data; {fitting:,} keep the limits. The front joins those that no "
        "other candidate beats in both quantities of a picture."
    )
    blocks: list[Block] = [Grid([[figure] for figure in figures]), Text(text, quiet=True)]
    if finalists:
        blocks.append(Details("Finalists, by int8 accuracy", [_finalists(finalists)]))
    return blocks


def _finalists(rows: Sequence[Mapping[str, Any]]) -> Table:
    ordered = sorted(rows, key=lambda row: -float(row["int8_percent"]))
    cells = [
        [
            f"{row['int8_percent']:.2f} %",
            f"{row['accuracy_percent']:.2f} %",
            f"{row['sram_bytes']:,}",
            f"{row['flash_bytes']:,}",
        ]
        for row in ordered
    ]
    return Table(("int8, on steering data", "evaluator", "SRAM", "flash"), cells)


def pareto(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other beats: less to the right, more upwards; left to right.

    >>> pareto([(2.0, 90.0), (1.0, 80.0), (3.0, 85.0), (2.0, 88.0)])
    [(1.0, 80.0), (2.0, 90.0)]
    """
    best: list[Point] = []
    for x, y in sorted(set(points), key=lambda point: (point[0], -point[1])):
        if not best or y > best[-1][1]:
            best.append((x, y))
    return best


def _front(
    rows: Sequence[Mapping[str, Any]],
    cost: str,
    winner: Mapping[str, Any] | None,
    limit: float | None,
) -> Figure:
    name, unit, scale, _ = COSTS[cost]
    known = [row for row in rows if row[cost] is not None]

    def place(row: Mapping[str, Any]) -> Point:
        return float(row[cost]) / scale, float(row["accuracy_percent"])

    fitting = [place(row) for row in known if row["fits"]]
    others = [place(row) for row in known if not row["fits"]]
    front = pareto(fitting)
    points = [*fitting, *others]
    x = Axis.of(f"{name}, {unit}", [point[0] for point in points])
    y = Axis.of("accuracy on steering data, %", [point[1] for point in points])
    ends = f" from {front[0][1]:.2f} % to {front[-1][1]:.2f} %" if front else ""
    chart = Chart(
        f"Accuracy against {name}",
        f"{len(points)} candidates; {len(front)} are on the front,{ends}.",
        x,
        y,
    )
    chart.dots(others, "unfit")
    chart.dots(fitting, "dim")
    if limit is not None and x.low < limit / scale < x.high:
        chart.down(limit / scale, "limit", "limit")
    chart.steps(front, "c0")
    chart.dots(front, "c0")
    legend = [("c0", "front"), ("dim", "dominated")]
    if others:
        legend.append(("unfit", "exceeds a limit"))
    if winner is not None and winner[cost] is not None:
        chart.ring(*place(winner))
        legend.append(("chosen", "chosen"))
    return Figure(chart.markup(), f"Accuracy against {name}", legend)


def path(files: RunFiles) -> list[Block]:
    """Show the visits of the space search in their order."""
    record = files.needs("evolve.space")
    rows, space = files.rows("space_search.jsonl"), files.space
    if not rows or space is None:
        raise NotShown("The space search left no visits (space_search.jsonl).")
    with parsing(files.run.file("space_search.jsonl")):
        chosen = read_json(files.run.file("space.json"), "space")["point"]
        figure = _path_figure(rows, space, chosen)
        table = _visit_table(rows)
        weight = record.config["space_search"]["lambda_rho"]
    text = (
        "Each visit trains the supernet of a point for more epochs and scores it: mean accuracy of "
        f"subnets that fit, on steering data, plus {weight:g} times the share of subnets that fit."
    )
    return [Grid([[figure], [Text(text, quiet=True), Details(f"All {len(rows)} visits", [table])]])]


def _path_figure(
    rows: Sequence[Mapping[str, Any]], space: SearchSpace, chosen: Mapping[str, Any]
) -> Figure:
    """Return the grid with the visited points, darker with a higher score."""
    ratios, patches = space.axes["rank_ratio"], space.axes["patch_size"]
    sides = [-(-space.img_size[-1] // int(patch)) for patch in patches]
    x_ticks, y_ticks = range(len(ratios)), range(len(patches))
    chart = Chart(
        "Path of the space search",
        f"{len(rows)} visits; the numbers give their order, the ring the chosen point.",
        Axis("rank ratio", -0.6, len(ratios) - 0.4, x_ticks, [f"{ratio:g}" for ratio in ratios]),
        Axis("tokens", -0.6, len(patches) - 0.4, y_ticks, [f"{side * side:,}" for side in sides]),
        height=280,
    )
    places = [_cell(row["point"], space) for row in rows]
    for (x0, y0), (x1, y1) in pairwise(places):
        chart.line([(x0, y0), (x1, y1)], "dim")
    known = [float(row["score"]) for row in rows if row["score"] is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    for cell in dict.fromkeys(places):
        visits = [number for number, place in enumerate(places) if place == cell]
        score = rows[visits[-1]]["score"]
        share = 0.0 if score is None else (score - low) / ((high - low) or 1.0)
        across, down = chart.at(*cell)
        disc = {"cx": across, "cy": down, "r": 14}
        strength = f"{0.12 + 0.88 * share:.2f}"
        chart.parts.append(element("circle", class_="base", **disc))
        chart.parts.append(element("circle", class_="score", fill_opacity=strength, **disc))
        numbers = ", ".join(str(number + 1) for number in visits)
        kind = "cell strong" if share > 0.5 else "cell"
        place = {"x": across, "y": down + 4, "text_anchor": "middle"}
        short = numbers if len(numbers) <= 6 else f"{visits[0] + 1}..{visits[-1] + 1}"
        chart.parts.append(element("text", escape(short), class_=kind, **place))
    across, down = chart.at(*_cell(chosen, space))
    chart.parts.append(element("circle", class_="ring", cx=across, cy=down, r=17))
    caption = "Visits by rank ratio and tokens; the stronger the colour, the higher the score"
    folded = [name for name in space.axes if name not in ("rank_ratio", "patch_size")]
    if folded:
        caption += f" (the axes {' and '.join(folded)} are folded)"
    return Figure(chart.markup(), caption, [("c0", "visited"), ("chosen", "chosen")])


def _cell(point: Mapping[str, Any], space: SearchSpace) -> Point:
    """Return a point's column and row in the plane of rank ratio and patch size."""
    column = space.axes["rank_ratio"].index(float(point["rank_ratio"]))
    return float(column), float(space.axes["patch_size"].index(int(point["patch_size"])))


def _visit_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    cells = [
        [
            str(number),
            f"{row['point']['rank_ratio']:g}",
            str(row["point"]["patch_size"]),
            str(row["rule"]),
            str(row["epochs"]),
            "none fits" if row["accuracy_percent"] is None else f"{row['accuracy_percent']:.2f}",
            f"{100 * row['admitted_fraction']:.1f}",
            "" if row["score"] is None else f"{row['score']:.2f}",
        ]
        for number, row in enumerate(rows, 1)
    ]
    header = ("visit", "rank ratio", "patch", "rule", "epochs", "accuracy %", "fit %", "score")
    return Table(header, cells, words=4)


def curves(files: RunFiles) -> list[Block]:
    """Show the losses and accuracies of every training, by epoch."""
    figures = [
        *_training(files.run.file("metrics.jsonl"), "supernet"),
        *_training(files.newest("finetune/*/metrics.jsonl"), "fine-tuning"),
        *_training(files.newest("qat/*/metrics.jsonl"), "quantisation-aware training"),
        *_visits(files),
    ]
    if not figures:
        raise NotShown("Nothing has been trained in this run.")
    text = (
        "Accuracies of the supernet are on steering data; those of fine-tuning are on images that "
        "it trains on. The test part is in none of these pictures."
    )
    return [Grid([[figure] for figure in figures]), Text(text, quiet=True)]


def _training(path: Path | None, name: str) -> list[Figure]:
    """Return the pictures of one training; none if it has not run."""
    if path is None or not path.exists():
        return []
    with parsing(path):
        rows = read_lines(path)
        losses = [(float(row["epoch"]), float(row["loss"])) for row in rows]
        series = {
            f"{kind[1]}": (kind[0], points)
            for key, kind in (VALIDATED | {"training_accuracy_percent": ("c0", "training")}).items()
            if (points := [(float(r["epoch"]), float(r[key])) for r in rows if r.get(key)])
        }
    if not losses:
        return []
    caption = f"Loss of {name}"
    result = [_curve_figure(caption, "loss", {"loss": ("c0", losses)})]
    if series:
        result.append(_curve_figure(f"Accuracy of {name}", "accuracy, %", series))
    return result


def _curve_figure(
    caption: str, label: str, series: Mapping[str, tuple[str, Sequence[Point]]]
) -> Figure:
    points = [point for _, line in series.values() for point in line]
    last = ", ".join(f"{name} {line[-1][1]:.4g}" for name, (_, line) in series.items())
    chart = Chart(
        caption,
        f"{len(points)} values; at the end: {last}.",
        Axis.of("epoch", [point[0] for point in points], zero=True),
        Axis.of(label, [point[1] for point in points]),
        height=210,
    )
    for kind, line in series.values():
        shown = thinned(line)
        chart.line(shown, kind)
        if len(shown) == 1:
            chart.dots(shown, kind)
    legend = [(kind, name) for name, (kind, _) in series.items()] if len(series) > 1 else []
    return Figure(chart.markup(), caption, legend)


def _visits(files: RunFiles) -> list[Figure]:
    """Return the losses of all points that the space search visited, in one picture."""
    paths = sorted(files.run.path.glob("points/*/metrics.jsonl"))
    lines: list[list[Point]] = []
    for each in paths:
        with parsing(each):
            rows = thinned(read_lines(each), 100)
            lines.append([(float(row["epoch"]), float(row["loss"])) for row in rows])
    lines = [line for line in lines if line]
    if not lines or "evolve.space" not in files.records:
        return []
    points = [point for line in lines for point in line]
    caption = f"Loss at the {len(lines)} points that were visited"
    chart = Chart(
        caption,
        "One line for each point of the space.",
        Axis.of("epoch", [point[0] for point in points], zero=True),
        Axis.of("loss", [point[1] for point in points]),
        height=210,
    )
    for line in lines:
        chart.line(line, "c0 thin")
    return [Figure(chart.markup(), caption)]
