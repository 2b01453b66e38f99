"""The ablations of conf/experiment, as the comments at the head of each file describe them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from mcuformer.run.presets import conf_dir

COLLECT, TIME = "python tools/collect.py ", "Time: "


@dataclass(frozen=True)
class Ablation:
    """An experiment that compares settings.

    Args:
        name: name of its file.
        runs: commands that make its runs.
        arguments: arguments of tools/collect.py, which makes one table of them.
        title: what it is about, and of which paper.
        text: what is compared.
        time: how long all runs take.
    """

    name: str
    runs: tuple[str, ...]
    arguments: tuple[str, ...]
    title: str
    text: str
    time: str


def ablations() -> list[Ablation]:
    """Return all ablations, in the order of their names; a part of one is none itself."""
    files = sorted(conf_dir().glob("experiment/ablation_*.yaml"))
    return [ablation for file in files if (ablation := read_ablation(file)) is not None]


def read_ablation(file: Path) -> Ablation | None:
    """Return what an experiment's first comments say; None if they do not collect any runs."""
    lines = file.read_text().splitlines()[1:]  # after `# @package`
    head = [line.removeprefix("# ") for line in lines if line.startswith("# ")]
    collecting = [line.removeprefix(COLLECT) for line in head if line.startswith(COLLECT)]
    if not collecting:
        return None
    runs = tuple(line for line in head if line.startswith("python -m "))
    (time,) = (line.removeprefix(TIME) for line in head if line.startswith(TIME))
    words = (line for line in head if not line.startswith(("python ", TIME)))
    title, _, text = " ".join(words).partition(": ")
    arguments = tuple(shlex.split(collecting[0]))
    return Ablation(file.stem, runs, arguments, title, text[0].upper() + text[1:], time)
