r"""Finished runs as tables, CSV and pictures: means over seeds, a row per setting that differs.

    python tools/collect.py FOLDER ... [--by KEY ...] [--out FOLDER] [--json] [--markdown]
    python tools/collect.py runs/NAME ... --results experiments [--command COMMAND ...]

A FOLDER is a run, or holds runs at any depth, for instance of a sweep by `-m`. Runs whose settings
differ in nothing but the seed are one row; the settings that differ are its first columns.
Accuracies are top-1 of the integer reference on the whole test part, with the standard deviation
over the seeds; weights, flash and SRAM are bytes of the built firmware; milliseconds are modelled.

Runs of several data sets, devices, budgets or experiments are refused, unless --by names what may
differ (`data`, `device`, `budget`, `experiment`, or a key inside). --out writes `table.md`,
`runs.csv` (a line per run), pictures of the accuracy against SRAM and flash (`sram.png`,
`flash.png`), of the Pareto fronts of the subnets that the searches saw, by their accuracy on
steering images (`front_sram.png`, `front_flash.png`), and `KEY.png` for each setting that is a
number.

--results experiments puts runs of conf/experiment into docs/results/experiments.json, in place of
earlier ones of the same experiment, for `python tools/results.py`. Where not the experiment's own
command made them, for instance a training in several sessions, --command tells each that did.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import experiment_results
import numpy as np
import tool
from run_settings import ABSENT, Settings, differences, named, settings_of
from tool import Parser, Table

from evolve.subnet_search.pareto import front
from mcuformer.errors import ArtifactError, ConfigError
from mcuformer.pictures import draw_series
from mcuformer.run.artifact import RunDir, write_bytes
from mcuformer.run_summary import RunSummary

TASK = ("data", "device", "budget", "experiment")  # of one table, unless --by names them
NUMBERS = {
    "int8": "int8, %",
    "float": "float, %",
    "weights_bytes": "weights",
    "flash_bytes": "flash",
    "sram_bytes": "SRAM",
    "ms_low": "ms, from",
    "ms_high": "to",
    "macs": "MACs",
    "seconds": "seconds",
}
DIGITS = {"int8": 2, "float": 2, "ms_low": 1, "ms_high": 1}
Row = dict[str, Any]


Series = dict[str, list[tuple[float, float, float]]]  # by title: x, y, deviation of y


def run_folders(folders: Sequence[Path]) -> list[Path]:
    """Return the run directories among folders and below them, in order.

    Raises:
        ArtifactError: a folder has none.
    """
    found: list[Path] = []
    for folder in folders:
        own = []
        for path, inside, _ in os.walk(folder):
            inside.sort()
            if "stages" in inside:
                own.append(Path(path))
                inside.clear()
        if not own:
            raise ArtifactError("no run in it", where=folder, expected="stages/*.json somewhere")
        found += own
    return list({path.resolve(): path for path in reversed(found)}.values())[::-1]


def collect(folders: Sequence[Path], by: Sequence[str] = ()) -> dict[str, Any]:
    """Read runs, and return a row for each with the settings in which they differ.

    Args:
        folders: runs, or folders of them.
        by: settings that may differ although they make another task.

    Raises:
        ArtifactError: a run is incomplete, damaged or of another version; two are of one setting
            and seed.
        ConfigError: the runs are of several tasks, or `by` names nothing that differs.
    """
    paths = run_folders(folders)
    summaries = [RunSummary.read(RunDir(path)) for path in paths]
    settings = [
        settings_of(RunDir(path)) | {"experiment": summary.experiment}
        for path, summary in zip(paths, summaries, strict=True)
    ]
    different = differences(settings)
    refuse_mixed(different, summaries, by)
    rows: list[Row] = []
    for number, summary in enumerate(summaries):
        own = {key: values[number] for key, values in different.items()}
        rows.append(row_of(summary, own))
    refuse_twice(rows)
    return {"task": task_of(summaries[0], different), "keys": list(different), "rows": rows}


def refuse_mixed(
    different: dict[str, list[str]], summaries: Sequence[RunSummary], by: Sequence[str]
) -> None:
    """Refuse runs that no single table can compare, and a `--by` that names nothing.

    Raises:
        ConfigError: naming the setting, and two runs.
    """
    for name in by:
        if not any(named(key, [name]) for key in different):
            raise ConfigError(
                "the runs do not differ in it",
                where="--by",
                got=name,
                expected=", ".join(different) or "nothing: they differ in the seed alone",
            )
    for key, values in different.items():
        if named(key, TASK) and not named(key, by):
            other = next(n for n, value in enumerate(values) if value != values[0])
            raise ConfigError(
                f"runs of several {key}; one table compares them with --by {key}",
                where=summaries[other].path,
                got=values[other],
                expected=f"{values[0]}, as in {summaries[0].path}",
            )


def refuse_twice(rows: Sequence[Row]) -> None:
    """Refuse two runs of one setting and seed: a copy would make the spread too small.

    Raises:
        ArtifactError: naming both.
    """
    seen: dict[tuple[Any, ...], str] = {}
    for row in rows:
        identity = (*row["settings"].values(), row["seed"])
        if identity in seen:
            raise ArtifactError(
                "a run of the same settings and seed as another",
                where=row["path"],
                got=f"seed {row['seed']}, as {seen[identity]}",
            )
        seen[identity] = row["path"]


def row_of(summary: RunSummary, settings: Settings) -> Row:
    """Return a run's figures; None is what was not verified."""
    return {
        "settings": settings,
        "seed": summary.seed,
        "path": summary.path,
        "int8": summary.accuracy_percent["int8"],
        "float": summary.accuracy_percent["float"],
        "weights_bytes": summary.weights_bytes,
        "flash_bytes": summary.flash_bytes,
        "sram_bytes": summary.sram_bytes,
        "ms_low": summary.ms_low,
        "ms_high": summary.ms_high,
        "macs": summary.macs,
        "seconds": round(sum(summary.seconds.values()), 1),
        "revision": summary.git_revision,
        "machine": summary.machine,
    }


def task_of(summary: RunSummary, different: dict[str, list[str]]) -> str:
    """Return in one line what all runs have in common."""
    budget = summary.budget
    parts = {
        "data": summary.data,
        "device": f"on {summary.device}",
        "budget": f"{budget.sram_bytes:,} bytes of SRAM, {budget.flash_bytes:,} of flash",
        "experiment": f"experiment {summary.experiment}" if summary.experiment else "",
    }
    common = [text for key, text in parts.items() if text and not named(key, list(different))]
    return ", ".join([*common, f"{summary.num_images:,} test images"])


def grouped(result: dict[str, Any]) -> list[tuple[dict[str, str], list[Row]]]:
    """Return the rows of each setting, which differ in their seeds."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in result["rows"]:
        groups.setdefault(tuple(row["settings"].values()), []).append(row)
    return [(rows[0]["settings"], rows) for rows in groups.values()]


def spread(rows: Sequence[Row], name: str) -> str:
    """Return mean and standard deviation of a figure over the seeds, as text."""
    values = [row[name] for row in rows]
    if any(value is None for value in values):
        return "not modelled" if name.startswith("ms") else "not verified"
    return tool.mean_and_spread(values, DIGITS.get(name, 0))


def table(result: dict[str, Any]) -> Table:
    """Return the table of a comparison, with a row per setting."""
    keys = result["keys"]
    rows = []
    for settings, group in grouped(result):
        seeds = ", ".join(str(row["seed"]) for row in sorted(group, key=lambda row: row["seed"]))
        cells = (spread(group, name) for name in NUMBERS)
        rows.append((*settings.values(), seeds, *cells))
    header = (*keys, "seeds", *NUMBERS.values())
    return Table(header, rows, result["task"], words=len(keys) + 1)


def csv_text(result: dict[str, Any]) -> str:
    """Return a line per run: settings, seed, figures, and where it is."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    figures = [name for name in result["rows"][0] if name not in ("settings", "seed")]
    writer.writerow([*result["keys"], "seed", *figures])
    for row in result["rows"]:
        cells = [row[name] for name in ("seed", *figures)]
        writer.writerow([*row["settings"].values(), *cells])
    return buffer.getvalue()


def title_of(settings: dict[str, str]) -> str:
    """Return a row's settings in one line.

    >>> title_of({"space_search": "trend", "space_search.k": "3", "forms.passes": "-"})
    'space_search trend, k 3'
    """
    own = {key: value for key, value in settings.items() if value != ABSENT}
    return (
        ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in own.items()) or "all runs"
    )


def number(text: str) -> float | None:
    """Return a setting as a number; None if it is none."""
    try:
        return float(text)
    except ValueError:
        return None


def fronts(result: dict[str, Any], name: str) -> Series:
    """Return the Pareto front of each setting's searches, all seeds together.

    Args:
        result: result of :func:`collect`.
        name: ``sram_bytes`` or ``flash_bytes``, which is minimised besides the error.

    Returns:
        By setting, bytes and accuracy on the steering split of every subnet on the front.
    """
    series: Series = {}
    for settings, rows in grouped(result):
        files = [Path(row["path"], "search.jsonl") for row in rows]
        seen = [
            json.loads(line) for f in files if f.exists() for line in f.read_text().splitlines()
        ]
        fitting = [one for one in seen if one["fits"]]
        if fitting:
            points = np.array([(one[name], -one["accuracy_percent"]) for one in fitting])
            kept = np.unique(points[front(points)], axis=0)
            title = title_of(settings)
            series[title] = [(size, -error, 0.0) for size, error in kept]
    return series


def pictures(result: dict[str, Any]) -> dict[str, bytes]:
    """Return pictures by file name: accuracy against SRAM, flash, and every number that differs."""
    label, drawn = "int8 accuracy on the test part, %", {}
    for name, kind in (("sram_bytes", "SRAM"), ("flash_bytes", "flash")):
        points: Series = {}
        for settings, rows in grouped(result):
            known = [row for row in rows if row[name] is not None]
            title = title_of(settings)
            points[title] = [(row[name], row["int8"], 0.0) for row in known]
        if any(points.values()):
            axis = f"{kind} of the built firmware, bytes"
            drawn[f"{kind.lower()}.png"] = draw_series(points, axis, label, connected=False)
        if series := fronts(result, name):
            axis, steering = f"{kind} as planned, bytes", "accuracy on steering images, %"
            drawn[f"front_{kind.lower()}.png"] = draw_series(series, axis, steering, connected=True)
    for key in result["keys"]:
        values = [number(row["settings"][key]) for row in result["rows"]]
        if None in values:
            continue
        lines: Series = {}
        for settings, rows in grouped(result):
            others = title_of({k: v for k, v in settings.items() if k != key})
            accuracies = [row["int8"] for row in rows]
            deviation = float(np.std(accuracies, ddof=1)) if len(rows) > 1 else 0.0
            point = (float(settings[key]), float(np.mean(accuracies)), deviation)
            lines.setdefault(others, []).append(point)
        drawn[f"{key}.png"] = draw_series(lines, key, label, connected=True)
    return drawn


def write(options: argparse.Namespace) -> dict[str, Any]:
    """Collect the runs and write what was asked for."""
    if options.command and options.results is None:
        raise ConfigError("is for --results experiments", where="--command")
    if options.results == "experiments":
        folders = run_folders(options.folders)
        return experiment_results.save(folders, options.saved, options.command)
    result = collect(options.folders, options.by)
    if options.out is not None:
        files = {"table.md": f"{table(result).markdown()}\n".encode()}
        files["runs.csv"] = csv_text(result).encode()
        for name, content in (files | pictures(result)).items():
            write_bytes(options.out / name, content)
    return result


def tables(result: dict[str, Any]) -> list[Table]:
    """Return the tables of a result of :func:`write`."""
    return experiment_results.tables(result) if "experiments" in result else [table(result)]


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--by", nargs="+", default=[], metavar="KEY", help="what may differ")
    parser.add_argument("--out", type=Path, help="folder for Markdown, CSV and pictures")
    parser.add_argument("--results", choices=("experiments",), help="keep for tools/results.py")
    parser.add_argument(
        "--command", action="append", default=[], help="what made the runs, in order"
    )
    parser.add_argument("--saved", type=Path, default=experiment_results.SAVED)
    return tool.run(parser, write, tables)


if __name__ == "__main__":
    raise SystemExit(main())
