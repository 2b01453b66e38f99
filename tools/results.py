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
import shlex
import shutil
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tool
from ablations import ablations
from tool import Parser, Table

from mcuformer.errors import ConfigError, McuformerError
from mcuformer.run.artifact import cpu_name, provenance, read_json, write_bytes, write_json
from mcuformer.run.progress import say

ROOT = Path(__file__).resolve().parents[1]
DEMO_RUN = "runs/bench_demo/seed0/stm32f100"
PROGRAMS = ("cc", "arm-none-eabi-gcc", "qemu-system-arm")
VERSIONS = {
    "Python": "python",
    "torch": "torch",
    "numpy": "numpy",
    "cc": "cc",
    "arm-none-eabi-gcc": "arm-none-eabi-gcc",
    "QEMU": "qemu-system-arm",
}
EXPERIMENTS = "experiments"
ABLATION_TEXT = " int8 on the whole test part; the time below is that of reading the runs."
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
several seeds, mean ± standard deviation.
"""

RANK_TEXT = """\
Dense (ratio 1) and factored networks that fit the same flash, of an STM32F746 with 12 KB of SRAM.
Of 1,000 subnets per seed, the same widths at every ratio, the one of most multiply-accumulates
that fits is trained for 8 epochs of 12,000 images: from random weights (`scratch`), or 4 of these
epochs as a dense network, which is then factored, and 4 more (`svd`; at ratio 1 nothing is
factored). `flash`: kernels read weights in flash; `staged`: the largest weight matrix counts as
SRAM, as in the paper. Intervals are Student's over the seeds, each flash limit with a mean of its
own. The time below is that of reading the records."""


@dataclass(frozen=True)
class Section:
    """One part of the page: the tables of a tool.

    Args:
        title: heading.
        tool: name of the tool in tools/.
        arguments: arguments of the tool.
        text: how to read the tables, in Markdown.
        before: commands that made what the tool reads.
    """

    title: str
    tool: str
    arguments: tuple[str, ...]
    text: str
    before: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """The command that a user would type."""
        return shlex.join(("python", f"tools/{self.tool}.py", *self.arguments))


SECTIONS = {
    "demo": Section(
        "The demo",
        "bench_demo",
        (),
        "The whole chain on scikit-learn's digits. Every logit of every test image is the same"
        " integer in numpy, in C on this computer and on the emulated chip; the arena as linked is"
        " the arena as planned.",
    ),
    "kernels": Section(
        "Kernels",
        "bench_kernels",
        (),
        "Executed instructions, packing, bias and requantisation included. CMSIS-NN (commit"
        " 99f736a6) and TinyEngine (47bb283): their best kernel, measured in the same way. Cycles"
        " are a model by published pipeline rules (`tools/pipeline.py`), not a measurement on a"
        " chip; CMSIS-NN's by the same rules.",
    ),
    "networks": Section(
        "Whole networks",
        "bench_network",
        (),
        "Random weights, two images each. `paper_320k` is the paper's network for 320 KB, for which"
        " the paper states 319 kB.",
    ),
    "components": Section(
        "Components in somebody's firmware",
        "bench_components",
        (),
        "One network per device, with random weights, as a library in a CMake project that knows"
        " nothing of this one; its self-test and one image run in the emulator, within the device's"
        " memory. SRAM linked counts the stack's reserve, used the painted stack. The bound of the"
        " stack is the largest sum of frames along the calls, with room for one interrupt.",
    ),
    "network_83000": Section(
        "The paper's network within 83,000 bytes",
        "bench_network",
        ("paper_320k_strip", "--budget", "83000"),
        "Less memory for more instructions: the planner takes fewer heads at a time.",
    ),
    "memory": Section(
        "What each memory pass saves",
        "ablate_memory",
        (),
        "Arena bytes, and percent saved against the first row, which schedules as CMSIS-NN and"
        " TinyEngine do. `flash`: kernels read weights in flash, as the exporter plans; `staged`:"
        " the largest weight matrix of a call is added, as the paper counts. The paper reports"
        " 23.8 % for operator integration.",
    ),
    "exports": Section(
        "Random exports compared",
        "sweep_exports",
        (),
        "Networks of the digits and Fashion-MNIST spaces with every form, tokenizer and position.",
    ),
    "operators": Section(
        "Operator forms",
        "compare_operators",
        ("--run", DEMO_RUN),
        "Errors of GELU over [-4, 4], of exponentials over [0, 16] and of roots (relative) are the"
        " form's own; the others are in steps of the int8 output. Instructions are per element of"
        " the output, per score for the softmax; kernels are called one by one, while a streamed"
        " block spends less. int8 is the accuracy of the demo's network of seed 0.",
    ),
    "quantization": Section(
        "Quantisation of the demo's network",
        "compare_quantization",
        (DEMO_RUN,),
        "Whole test part; the network of seed 0.",
    ),
    "trend": Section(
        "Space selectors on made-up landscapes",
        "bench_trend",
        ("--seeds", "100"),
        "Grids of 60 points with a known optimum; regret is how far the chosen point is below it,"
        " mean ± standard deviation over the seeds of landscape, start and noise. `behind` is the"
        " distance to the best selector in pooled standard deviations.",
    ),
    "space_tables": Section(
        "Space selectors on measured grids",
        "bench_trend",
        (
            "--table",
            "tests/data/space_table_digits.json",
            "tests/data/space_table_fashion_mnist.json",
        ),
        "Every point of two grids was trained from two seeds (`tools/tabulate_space.py`). Regret is"
        " how far the mean score of the chosen point after the longest training is below the best.",
    ),
    "trend_settings": Section(
        "Settings of the trend on measured grids",
        "bench_trend",
        (
            "--table",
            "tests/data/space_table_digits.json",
            "tests/data/space_table_fashion_mnist.json",
            "--ablate",
            "--seeds",
            "60",
        ),
        "MCUFormer's table 2 (k) and figures 4 and 5 (visits, tau) with many starts, on the grids"
        " above. `visits of a point`: regret of the points that a search visited once, twice and so"
        " on, after equally long trainings, so that a longer one does not flatter them.",
    ),
    "ranking": Section(
        "How well evaluators rank subnets",
        "rank_correlation",
        (
            "data=fashion_mnist",
            "data.root=data/fashion_mnist",
            "device=stm32f100",
            "recipe=small_images",
            "point.rank_ratio=1.0",
            "point.patch_size=7",
            "threads=1",
        ),
        "Kendall's tau-b with the test accuracy of trainings from scratch (8 epochs of 12,000"
        " Fashion-MNIST images, mean over the seeds), and 95 % intervals by bootstrap over subnets:"
        " 30 spread over all sizes, and 30 in a band within 20 % of the largest MACs, where size"
        " says little. Supernets train for 20 epochs; `finetuned_1` is one epoch from inherited"
        " weights, `scratch_2` two from nothing; `predictor` is fitted to `finetuned_1` of 60 other"
        " subnets, `predictor_inherited` to the inherited accuracy of 150. The last row is the"
        " ceiling: one seed of the truth against another. The last columns are paired differences"
        " of tau in the band. The time below is that of reading the records; the trainings took"
        " about 60 CPU minutes.",
    ),
    "rank": Section(
        "Low rank at equal flash",
        "ablate_rank",
        ("data.root=data/fashion_mnist",),
        RANK_TEXT,
    ),
    "rank_cifar10": Section(
        "Low rank at equal flash, colour images",
        "ablate_rank",
        (
            "data=cifar10",
            "data.root=data/cifar10",
            "budget.sram_bytes=16384",
            "--flash-kb",
            "128",
            "--train-images",
            "10000",
        ),
        "As above, with 10,000 images of CIFAR-10, a tenth of whose training images is the test"
        " part, and 16 KB of SRAM.",
    ),
    "admission": Section(
        "What fits, by estimator",
        "admission_map",
        ("--devices", "stm32f746"),
        "Share of 200 sampled subnets of the paper's T space that fit the SRAM, by patch size and"
        " rank ratio r. `paper` is MCUFormer's criterion, `released` its code's estimate, `planner`"
        " the exporter's own plan, `exact` the released estimate without sampling.",
    ),
    "scaling": Section(
        "What the paper's search costs",
        "estimate_scaling",
        ("--images", "96"),
        "**An estimate: no run of this size was made.** Hours of `evolve.space` (30 visits of 30"
        " epochs) and `evolve.search` (1,000 candidates) together, on ImageNet in the space T."
        " [scaling.md](scaling.md) says what is assumed, and what changed between before and after."
        " What a core augments and normalises was measured, in CPU time.",
    ),
    "supernet": Section(
        "What elasticity costs",
        "bench_supernet",
        (),
        "Eight sampled subnets per preset, medians. `autoformer_t`: 224 px, batch 16, relative"
        " position; `fashion_mnist`: patch 4, rank ratio 0.5, batch 128.",
    ),
    **{
        a.name: Section(a.title, "collect", a.arguments, a.text + ABLATION_TEXT, a.runs)
        for a in ablations()
    },
    EXPERIMENTS: Section(
        "Experiments",
        "collect",
        ("RUN", "...", "--results", "experiments"),
        "Files of `conf/experiment`, each run from nothing by its command. int8 is the integer"
        " reference on the whole test part; bytes are those of the built firmware, of which the"
        " weights are those that published sizes count. CPU hours are wall-clock time of all stages"
        " by the number of threads.",
        ("python -m mcuformer +experiment=digits seed=0 run_dir=runs/digits/seed_0",),
    ),
}


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
