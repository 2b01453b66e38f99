"""A page that compares finished runs: a table, and accuracy against flash."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mcuformer.errors import ConfigError
from mcuformer.report.blocks import Block, Figure, Section, Table, Text
from mcuformer.report.page import refuse_foreign, write_page
from mcuformer.report.searches import pareto
from mcuformer.report.svg import Axis, Chart
from mcuformer.report.terminal import NOT_VERIFIED
from mcuformer.run.artifact import RunDir
from mcuformer.run.progress import duration
from mcuformer.run_summary import RunSummary

FILE = "comparison.html"


def percent(value: float | None) -> str:
    """Return a percentage without its sign."""
    return NOT_VERIFIED if value is None else f"{value:.2f}"


def count(value: int | None) -> str:
    """Return a number of bytes."""
    return NOT_VERIFIED if value is None else f"{value:,}"


def interval(run: RunSummary) -> str:
    """Return the modelled time in milliseconds."""
    if run.ms_low is None or run.ms_high is None:
        return "not modelled"
    low, high = f"{run.ms_low:,.1f}", f"{run.ms_high:,.1f}"
    return low if low == high else f"{low} to {high}"


COLUMNS: tuple[tuple[str, Callable[[RunSummary], object]], ...] = (
    ("run", lambda run: run.name),
    ("experiment", lambda run: run.experiment or ""),
    ("device", lambda run: run.device),
    ("seed", lambda run: run.seed),
    ("int8 %", lambda run: percent(run.accuracy_percent["int8"])),
    ("float %", lambda run: percent(run.accuracy_percent["float"])),
    ("SRAM, bytes", lambda run: count(run.sram_bytes)),
    ("flash, bytes", lambda run: count(run.flash_bytes)),
    ("weights, bytes", lambda run: f"{run.weights_bytes:,}"),
    ("MACs", lambda run: f"{run.macs:,}"),
    ("ms, modelled", interval),
    ("took", lambda run: duration(sum(run.seconds.values()))),
)


def write_comparison(runs: Sequence[RunDir], path: Path) -> None:
    """Write a page that compares runs.

    Args:
        runs: directories of at least two finished runs.
        path: the page.

    Raises:
        ArtifactError: a run is not finished, damaged or of another version, or `path` is a file
            that is no page of mcuformer.
        ConfigError: a run is named twice, or runs are of different test images.
    """
    refuse_foreign(path)
    places = [run.path.resolve() for run in runs]
    twice = [place for number, place in enumerate(places) if place in places[:number]]
    if twice:
        raise ConfigError("a run is named twice", got=twice[0])
    summaries = [RunSummary.read(run) for run in runs]
    _refuse_other_images(summaries)
    best = max(summaries, key=lambda run: run.accuracy_percent["int8"] or 0.0)
    found = (
        f"Of {len(summaries)} runs on {best.data}, {best.name} is the most accurate: "
        f"{percent(best.accuracy_percent['int8'])} % int8 on the {best.num_images:,} test images."
    )
    sections = [
        Section("runs", "Runs", _table(summaries)),
        Section("front", "Accuracy against flash", _plot(summaries)),
    ]
    kicker = f"MCUFormer comparison: {best.data}"
    title = f"{len(summaries)} runs on {best.data}"
    write_page(path, title, sections, kicker=kicker, found=found, tiles=[], warning="")


def _refuse_other_images(summaries: Sequence[RunSummary]) -> None:
    """Refuse runs whose test images are not the same.

    Raises:
        ConfigError: naming the first that differs.
    """
    first = summaries[0]
    for other in summaries[1:]:
        if other.data != first.data:
            raise ConfigError(
                "runs of different data sets are not compared",
                where=other.path,
                got=other.data,
                expected=f"{first.data}, as in {first.path}",
            )
        for name, value in other.splits.items():
            if value != first.splits[name]:
                raise ConfigError(
                    "runs of different test images are not compared",
                    where=f"{other.path}: data.{name}",
                    got=value,
                    expected=f"{first.splits[name]}, as in {first.path}",
                )


def _table(summaries: Sequence[RunSummary]) -> list[Block]:
    named = any(run.experiment for run in summaries)
    columns = [column for column in COLUMNS if named or column[0] != "experiment"]
    rows = [
        [str(number), *(str(show(run)) for _, show in columns)]
        for number, run in enumerate(summaries, 1)
    ]
    header = ("no.", *(name for name, _ in columns))
    text = (
        "Accuracies are on the test part, of which every run has the same. SRAM and flash are of "
        "the built firmware. Times are modelled, each for its own device."
    )
    blocks: list[Block] = [Table(header, rows, words=3 + named), Text(text, quiet=True)]
    for name in ("experiment", "device"):
        values = dict.fromkeys(str(getattr(run, name) or "none") for run in summaries)
        if len(values) > 1:
            blocks.append(Text(f"These runs differ in their {name}: {', '.join(values)}."))
    return blocks


def _plot(summaries: Sequence[RunSummary]) -> list[Block]:
    """Return accuracy against flash: built, or planned where no firmware was built."""
    points = [
        (
            (run.planned.flash_bytes if run.flash_bytes is None else run.flash_bytes) / 1024.0,
            run.accuracy_percent["int8"] or 0.0,
        )
        for run in summaries
    ]
    front = pareto(points)
    chart = Chart(
        "Accuracy against flash",
        f"{len(points)} runs, of which {len(front)} are on the front.",
        Axis.of("flash, KB", [x for x, _ in points]),
        Axis.of("int8 accuracy on test data, %", [y for _, y in points]),
    )
    chart.steps(front, "c0")
    chart.dots([point for point in points if point not in front], "dim big")
    chart.dots(front, "c0 big")
    for number, (x, y) in enumerate(points, 1):
        chart.label(x, y, str(number), dy=-9.0)
    legend = [("c0", "front"), ("dim", "dominated")]
    figure = Figure(chart.markup(), "Numbers are those of the table", legend)
    planned = [run.name for run in summaries if run.flash_bytes is None]
    remarks = [Text(f"Flash as planned, no firmware was built: {', '.join(planned)}.", quiet=True)]
    return [figure, *(remarks if planned else [])]
