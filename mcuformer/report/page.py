"""Pages: one file without network and scripts, from templates that escape whatever they show.

Names of classes, paths and configurations are other people's: Jinja2 escapes them, and the page
forbids itself scripts and addresses (its Content-Security-Policy).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mcuformer import __version__
from mcuformer.errors import ArtifactError, McuformerError
from mcuformer.report import classes, making, network, results, searches
from mcuformer.report.blocks import Block, Section, Text
from mcuformer.report.run_files import NotShown, RunFiles
from mcuformer.run.artifact import RunDir, parsing, write_bytes
from mcuformer.run_summary import run_name

FILE = "report.html"
GENERATOR = f"mcuformer {__version__}"
TEMPLATES = Path(__file__).resolve().parent / "templates"
SECTIONS: tuple[tuple[str, str, Callable[[RunFiles], list[Block]]], ...] = (
    ("accuracy", "Accuracy", results.accuracy),
    ("budgets", "Memory against its budget", results.budgets),
    ("time", "Time", results.time),
    ("fronts", "Pareto fronts of the subnet search", searches.fronts),
    ("path", "Path of the space search", searches.path),
    ("curves", "Training", searches.curves),
    ("shape", "The network", network.shape),
    ("memory", "Memory over time", network.memory),
    ("flash", "Flash by layer", network.flash),
    ("quantisation", "Quantisation by layer", network.quantisation),
    ("confusion", "Confusion matrix", classes.confusion),
    ("pictures", "Right and wrong pictures", classes.pictures),
    ("firmware", "Build and flash", making.firmware),
    ("configuration", "Configuration and versions", making.configuration),
)


def write_run_page(run: RunDir) -> Path:
    """Write ``report.html`` of a run, finished or not, and return its path.

    Raises:
        ArtifactError: it is no run directory, or what the head of the page reads is damaged.
    """
    files, path = RunFiles(run), run.file(FILE)
    with parsing(run.path):
        found, tiles = results.found(files), results.tiles(files)
    facts = [files.setting("data", "name"), files.setting("device", "name")]
    kicker = " on ".join(fact for fact in facts if fact)
    sections = [section(files, *entry) for entry in SECTIONS]
    write_page(
        path,
        run_name(run.path),
        sections,
        kicker=f"MCUFormer report: {kicker}, seed {files.setting('seed')}",
        found=found,
        tiles=tiles,
        warning=_warning(files),
    )
    return path


def _warning(files: RunFiles) -> str:
    """Return what a reader must know before anything else; empty if there is nothing."""
    names = files.outdated
    if not names:
        return ""
    return f"Other stages ran again since, so this is of an earlier network: {', '.join(names)}."


def section(
    files: RunFiles, key: str, title: str, show: Callable[[RunFiles], list[Block]]
) -> Section:
    """Return a section; one whose stage has not run, or whose files are damaged, says so."""
    try:
        with parsing(files.run.path):
            blocks = show(files)
    except NotShown as reason:
        blocks = [Text(str(reason), quiet=True)]
    except McuformerError as error:
        blocks = [Text(f"Not shown: {error}", quiet=True)]
    return Section(key, title, blocks)


def write_page(path: Path, title: str, sections: Sequence[Section], **head: Any) -> None:
    """Render a page and write it atomically.

    Raises:
        ArtifactError: the file cannot be written.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    text = environment.get_template("page.html").render(
        title=title,
        sections=sections,
        generator=GENERATOR,
        footer=f"Written by {GENERATOR} on {made}. One file: no network, no scripts.",
        **head,
    )
    write_bytes(path, text.encode(errors="xmlcharrefreplace"))


def is_page(path: Path) -> bool:
    """Return whether a file is a page that this module wrote."""
    with path.open("rb") as file:
        return b'<meta name="generator" content="mcuformer ' in file.read(1000)


def refuse_foreign(path: Path) -> None:
    """Refuse to replace a file that is not one of these pages.

    Raises:
        ArtifactError: it is something else.
    """
    if path.exists() and not (path.is_file() and is_page(path)):
        raise ArtifactError("exists, and is no page of mcuformer", where=path, expected="out=FILE")
