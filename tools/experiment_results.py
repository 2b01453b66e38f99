"""The record of the experiments of conf/experiment: one row each, over its seeds.

`python tools/collect.py RUN ... --results experiments` adds rows, `python tools/results.py` writes
them into docs/results.md.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import results
import tool
from result_sections import EXPERIMENTS, SECTIONS
from run_settings import differences, settings_of
from tool import Table

from mcuformer.data.dataset import DataConfig
from mcuformer.errors import ArtifactError, ConfigError
from mcuformer.run.artifact import (
    NOT_RECORDED,
    THREADS,
    RunDir,
    StageRecord,
    read_json,
    read_value,
    write_json,
)
from mcuformer.run.presets import conf_dir
from mcuformer.run.threads import RunThreads
from mcuformer.run_summary import RunSummary
from oplib.plan.published_estimates import paper_criterion_bytes

SAVED = results.ROOT / "docs" / "results"
VERSIONS = ("python", "torch", "timm", "numpy")
ACCURACY = ("experiment", "data", "device", "seeds", "float, %", "int8, %", "test images")
ALLOWED = ("flash allowed", "SRAM allowed")
MEMORY = ("weights", "flash", "SRAM", "SRAM by the paper's count")
SIZES = ("experiment", *MEMORY, *ALLOWED, "ms, from", "to", "CPU hours")
BYTES = ("weights", "flash", "sram", "paper_sram")
MADE_BY = ("experiment", "command", "machines and versions", "commit")


def save(paths: Sequence[Path], saved: Path, commands: Sequence[str] = ()) -> dict[str, Any]:
    """Add the experiments of runs to the record, in place of their earlier rows; return it.

    Args:
        paths: run directories.
        saved: folder of the record.
        commands: what made the runs, if it is not the one that the experiment's file opens with.

    Raises:
        ArtifactError: a run is incomplete, damaged, of another version or of no experiment.
        ConfigError: runs of an experiment differ in more than the seed, or `commands` are given
            for several experiments.
        DataError: the data are missing; they tell whether a test part is the published one.
    """
    groups: dict[str, list[RunSummary]] = {}
    for path in paths:
        summary = RunSummary.read(RunDir(path))
        if summary.experiment is None:
            raise ArtifactError(
                "a run of no experiment", where=path, expected="one of +experiment=NAME"
            )
        groups.setdefault(summary.experiment, []).append(summary)
    if commands and len(groups) > 1:
        raise ConfigError(
            "commands are those of one experiment", where="--command", got=", ".join(groups)
        )
    file = saved / f"{EXPERIMENTS}.json"
    rows = read_json(file, "measurement")["result"]["experiments"] if file.exists() else {}
    rows |= {
        name: row_of(name, runs) | {"commands": list(commands) or [command_of(name)]}
        for name, runs in groups.items()
    }
    result = {"experiments": {name: rows[name] for name in sorted(rows)}}
    content = {
        "command": SECTIONS[EXPERIMENTS].command,
        "date": datetime.date.today().isoformat(),
        "seconds": sum(run["seconds"] for row in rows.values() for run in row["runs"]),
        "environment": results.environment(),
        "result": result,
    }
    write_json(file, "measurement", content)
    return result


def row_of(name: str, runs: Sequence[RunSummary]) -> dict[str, Any]:
    """Return an experiment's row: what its runs share, and each run's figures.

    Raises:
        ConfigError: the runs differ in more than the seed, or two are of the same seed.
    """
    first, folders = runs[0], [RunDir(run.path) for run in runs]
    different = differences([settings_of(folder) for folder in folders])
    for key, values in different.items():
        other = next(n for n, value in enumerate(values) if value != values[0])
        raise ConfigError(
            f"runs of {name} differ in {key}; those of one row differ in the seed alone",
            where=runs[other].path,
            got=values[other],
            expected=f"{values[0]}, as in {first.path}",
        )
    seeds = [run.seed for run in runs]
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"two runs of {name} of one seed", where=first.path, got=seeds)
    data = DataConfig.parse(folders[0].record("report").config["data"])
    return {
        "data": first.data,
        "device": first.device,
        "test_images": first.num_images,
        "published_test": data.survey().published_test,
        "sram_budget": first.budget.sram_bytes,
        "flash_budget": first.budget.flash_bytes,
        "made_on": list(dict.fromkeys(made_on(r) for folder in folders for r in folder.records())),
        "runs": [run_figures(run) for run in sorted(runs, key=lambda run: run.seed)],
    }


def made_on(record: StageRecord) -> str:
    """Return the machine of a stage, and the versions on which its result depends."""
    versions = (f"{key} {record.versions.get(key, NOT_RECORDED)}" for key in VERSIONS)
    return f"{record.machine}: {', '.join(versions)}"


def run_figures(run: RunSummary) -> dict[str, Any]:
    """Return the figures of one run."""
    seconds = sum(run.seconds.values())
    threads = read_value(Path(run.path) / THREADS, "threads", RunThreads).threads
    return {
        "seed": run.seed,
        "float": run.accuracy_percent["float"],
        "int8": run.accuracy_percent["int8"],
        "weights_bytes": run.weights_bytes,
        "flash_bytes": run.flash_bytes,
        "sram_bytes": run.sram_bytes,
        "paper_sram_bytes": round(paper_criterion_bytes(run.subnet)),
        "ms_low": run.ms_low,
        "ms_high": run.ms_high,
        "seconds": round(seconds, 1),
        "cpu_hours": round(seconds * threads / 3600, 3),
        "revision": run.git_revision,
    }


def command_of(name: str) -> str:
    """Return the command that an experiment's file opens with; a user's own has none."""
    file = conf_dir() / "experiment" / f"{name}.yaml"
    lines = file.read_text().splitlines() if file.exists() else []
    commands = [line.removeprefix("# ").split("  ")[0] for line in lines if "python -m" in line]
    return commands[0] if commands else f"python -m mcuformer +experiment={name}"


def tables(result: dict[str, Any]) -> list[Table]:
    """Return accuracies, sizes and provenance, with a row per experiment in each."""
    rows = result["experiments"]
    accuracies, sizes, made_by = [], [], []
    for name, row in rows.items():
        runs = row["runs"]
        part = "the set's part" if row["published_test"] else "own split"
        images = f"{row['test_images']:,}, {part}"
        found = [spread(runs, key, 2) for key in ("float", "int8")]
        seeds = ", ".join(str(run["seed"]) for run in runs)
        accuracies.append((name, row["data"], row["device"], seeds, *found, images))
        bytes_of = [spread(runs, f"{key}_bytes") for key in BYTES]
        budgets = [f"{row[key]:,}" for key in ("flash_budget", "sram_budget")]
        times = [spread(runs, key, 1) for key in ("ms_low", "ms_high")]
        hours = spread(runs, "cpu_hours", 2) if len(row["commands"]) == 1 else "not recorded"
        sizes.append((name, *bytes_of, *budgets, *times, hours))
        revisions = dict.fromkeys(run["revision"].removesuffix("-dirty")[:10] for run in runs)
        command, commits = "; ".join(f"`{c}`" for c in row["commands"]), ", ".join(revisions)
        made_by.append((name, command, "; ".join(row["made_on"]), commits))
    return [
        Table(ACCURACY, accuracies, "Accuracy on the test part", words=4),
        Table(SIZES, sizes, "Bytes and times"),
        Table(MADE_BY, made_by, "Made by", words=4),
    ]


def spread(runs: Sequence[dict[str, Any]], name: str, digits: int = 0) -> str:
    """Return mean and standard deviation of a figure over runs, as text."""
    values = [run[name] for run in runs]
    if None in values:
        return "not modelled" if name.startswith("ms") else "not verified"
    return tool.mean_and_spread(values, digits)
