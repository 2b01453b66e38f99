"""Measure and write docs/results.md: tables with their command, machine, versions and date.

    python tools/results.py [--json]             write the page from saved measurements
    python tools/results.py NAME ... [--json]    measure these sections first, or `all`: those
                                                 that need no runs of before

Measurements are saved as docs/results/NAME.json. A section that was never measured is left out.
The machine should be idle: some sections measure time.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import tool
from result_sections import EXPERIMENTS, SECTIONS, Section
from tool import Parser, Table

from mcuformer.errors import ConfigError, McuformerError
from mcuformer.run.artifact import cpu_name, provenance, read_json, write_bytes, write_json
from mcuformer.run.progress import say

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ("cc", "arm-none-eabi-gcc", "qemu-system-arm")
VERSIONS = {
    "Python": "python",
    "torch": "torch",
    "numpy": "numpy",
    "cc": "cc",
    "arm-none-eabi-gcc": "arm-none-eabi-gcc",
    "QEMU": "qemu-system-arm",
}
VECTOR_EXTENSIONS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "asimd", "sve")
HEAD = """\
<!-- Written by tools/results.py from docs/results/*.json; do not edit. -->

# Results

Every table names the command that printed it, the machine and the versions. Instructions are those
that QEMU executed, not cycles; milliseconds are modelled everywhere, as an interval from the larger
of the core's and the memory's time to their sum. A board whose cycle counter around `model_run`
lies outside of it would falsify the model. Bytes and instructions of a network are the same on
every computer with the same compiler. Accuracies, and the network that a search finds, are not:
training rounds differently on another CPU or with another version of torch. They are given over
several seeds, mean ± standard deviation, or of one where a table says so.
"""


def environment() -> dict[str, Any]:
    """Return the machine and the versions on which a measurement depends."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    flags = set(re.findall(r"\w+", "".join(re.findall(r"^(?:flags|Features).*$", info, re.M)[:1])))
    made_by = provenance()
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "extensions": [name for name in VECTOR_EXTENSIONS if name in flags],
        "python": made_by["versions"]["python"],
        "torch": made_by["versions"]["torch"],
        "numpy": made_by["versions"]["numpy"],
        **{program: program_version(program) for program in PROGRAMS},
        "commit": commit(made_by["git_revision"]),
    }


def commit(revision: str) -> str:
    """Return git's revision; what only the results changed is not an uncommitted change."""
    status = ["git", "-C", str(ROOT), "status", "--porcelain", "--", ".", ":!docs/results*"]
    clean = (
        shutil.which("git") is not None
        and not subprocess.run(status, capture_output=True, check=False).stdout
    )
    return revision.removesuffix("-dirty") if clean else revision


def program_version(program: str) -> str:
    """Return a program's version, or that it is missing."""
    try:
        result = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "not installed"
    numbers = re.search(r"\d+\.\d+[\w.]*", result.stdout)
    return numbers[0] if numbers else "unknown"


def measure(name: str, saved: Path, machine: dict[str, Any]) -> None:
    """Run a section's tool and save its result with a description of the machine.

    Raises:
        ConfigError: the section is not measured as a whole.
        McuformerError: the tool failed, or its result shows a fault.
    """
    section = SECTIONS[name]
    if name == EXPERIMENTS:
        raise ConfigError("is added to run by run", where=name, expected=section.command)
    say(section.command)
    command = [sys.executable, str(ROOT / "tools" / f"{section.tool}.py"), *section.arguments]
    started = time.monotonic()
    finished = subprocess.run(
        [*command, "--json"], stdout=subprocess.PIPE, text=True, check=False, cwd=ROOT
    )
    if finished.returncode != 0:
        raise McuformerError(f"failed with exit code {finished.returncode}", where=section.command)
    content = {
        "command": section.command,
        "date": datetime.date.today().isoformat(),
        "seconds": round(time.monotonic() - started, 1),
        "environment": machine,
        "result": json.loads(finished.stdout.splitlines()[-1]),
    }
    write_json(saved / f"{name}.json", "measurement", content)


def paragraph(section: Section, content: dict[str, Any]) -> str:
    """Return a section of the page as Markdown."""
    machine = content["environment"]
    tables = importlib.import_module(section.tool).tables(content["result"])
    cpu = ", ".join((machine["cpu"], f"{machine['cores']} cores", *machine["extensions"]))
    versions = ", ".join(f"{name} {machine[key]}" for name, key in VERSIONS.items())
    commit, _, changed = machine["commit"].partition("-")
    measured = (
        f"Measured {content['date']} in {content['seconds']:,.0f} s on {cpu}; {versions};"
        f" commit {commit[:10]}{' with uncommitted changes' if changed else ''}."
    )
    commands = "\n".join(f"    {command}" for command in (*section.before, content["command"]))
    parts = [f"## {section.title}", commands, textwrap.fill(section.text, 100)]
    parts += [*map(Table.markdown, tables), textwrap.fill(f"*{measured}*", 100)]
    return "\n\n".join(parts)


def write(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the named sections and write the page from all saved measurements."""
    whole = [name for name, section in SECTIONS.items() if not section.before]
    names = whole if options.names == ["all"] else options.names
    for name in names:
        if name not in SECTIONS:
            known = ", ".join(("all", *SECTIONS))
            raise ConfigError("no such section", where="NAME", got=name, expected=known)
    machine = environment()
    for name in names:
        measure(name, options.saved, machine)
    files = {name: options.saved / f"{name}.json" for name in SECTIONS}
    written = [name for name, file in files.items() if file.exists()]
    paragraphs = (
        paragraph(SECTIONS[name], read_json(files[name], "measurement")) for name in written
    )
    page = "\n\n".join([HEAD.rstrip(), *paragraphs]) + "\n"
    write_bytes(options.page, page.encode())
    return {"measured": names, "written": written}


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all, or {', '.join(SECTIONS)}")
    parser.add_argument("--saved", type=Path, default=ROOT / "docs" / "results")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "results.md")
    return tool.run(parser, write)


if __name__ == "__main__":
    raise SystemExit(main())
