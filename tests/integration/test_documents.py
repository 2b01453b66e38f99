"""Commands, files and links of README and docs/ exist; a command's arguments are understood."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import document
import numpy as np
import pytest
from commands import run
from PIL import Image
from tool_help import help_of_tools

from evolve.qat import QAT
from mcuformer.chain import CHAIN, ChainConfig
from mcuformer.errors import McuformerError
from mcuformer.run.entry import compose
from mcuformer.run.presets import conf_dir
from oplib.serve import ServeConfig

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FILE = re.compile(r"(?:\.ci|conf|docs|evolve|mcuformer|oplib|supernet|tests|tools)/[\w./-]+")
CONFIGS = {command.name: command.config for command in (*CHAIN, QAT)}
CONFIGS |= {"mcuformer": ChainConfig, "oplib.serve": ServeConfig}
OF_RUNS = ("oplib.size",)  # commands that take a run directory, and no settings
PROGRAMS = ("python", "torchrun", "make", "mcuformer")


def code(text: str) -> Iterator[str]:
    """Yield the lines of code blocks, then the code inside paragraphs and tables."""
    yield from document.code_lines(text)
    yield from (" ".join(span.split()) for span in document.spans(text))


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of every command of this project, comments and ellipses left out."""
    for line in code(text):
        for part in line.split("&&"):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:  # a line of C or YAML with one quotation mark
                continue
            words = [word for word in words if not set(word) <= {".", "…"}]
            if words and words[0].removeprefix("./") in PROGRAMS and len(words) > 1:
                yield words


def faults_of_make(words: list[str]) -> Iterator[str]:
    makefile = (ROOT / "Makefile").read_text()
    for word in words:
        name, is_variable, _ = word.partition("=")
        pattern = rf"^{re.escape(name)} \?=" if is_variable else rf"^{re.escape(name)}:"
        if not re.search(pattern, makefile, re.MULTILINE):
            yield f"make has no {'variable' if is_variable else 'target'} {name}"


def help_of(name: str) -> str:
    return help_of_tools()[Path(name).name]


def faults_of_tool(name: str, words: list[str]) -> Iterator[str]:
    if not (ROOT / name).is_file():
        yield f"no such file: {name}"
        return
    for word in words:
        flag = word.partition("=")[0]
        if flag.startswith("-") and not re.search(rf"(?<!\S){flag}\b", help_of(name)):
            yield f"{name} has no flag {flag}"


def staged(word: str, place: Path) -> str:
    """Create what a word names: pictures, a copy of a shipped preset, or an empty file."""
    key, _, value = word.partition("=")
    if word == "data.root=FOLDER":
        for number in range(6):
            folder = place / value / ("cat", "dog")[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 40)).save(folder / f"{number}.png")
        return f"{key}={place / value}"
    if key == "data.root" and value.endswith(".npz"):
        images, labels = np.zeros((20, 32, 32), np.uint8), np.arange(20) % 10
        np.savez(place / value, x_train=images, y_train=labels, x_test=images, y_test=labels)
        return f"{key}={place / value}"
    if not value.startswith("./") or not value.endswith(".yaml"):
        return word
    shipped = sorted((conf_dir() / key.lstrip("+")).glob("*.yaml"))
    (place / value).write_text(shipped[0].read_text() if shipped else "")
    return f"{key}={place / value}"


def faults_of_verb(line: list[str], words: list[str], place: Path) -> Iterator[str]:
    """Check a command of finished runs: given a folder that is none, it says so and no more.

    One without arguments is a mention.
    """
    for name in (word.removeprefix("zoo:") for word in words if word.startswith("zoo:")):
        if name != "NAME" and not (ROOT / "zoo" / name).is_dir():
            yield f"no such network: zoo:{name}"
    folders = {word: place / f"empty_{number}" for number, word in enumerate(words)}
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
    own = [word if "=" in word else folders[word] for word in words]
    printed = run([*line, *(own or ["--help"])])
    if printed.returncode and not re.search("not a run directory|no such file", printed.stderr):
        yield f"{' '.join(line[1:])}: {printed.stderr.strip()}"


def faults_of_module(module: str, words: list[str], place: Path) -> Iterator[str]:
    verbs = [word for word in words[:1] if re.fullmatch(r"[a-z]+", word)]
    if verbs or module in OF_RUNS:
        yield from faults_of_verb(["-m", module, *verbs], words[len(verbs) :], place)
        return
    if module == "oplib.serve":
        words = [f"port={words[0]}", *words[1:]]
    sweep = bool({"-m", "--multirun"} & set(words))
    overrides = [word for word in words if word not in ("-m", "--multirun")]
    if sweep:  # the first of several values
        overrides = [re.sub(r"=([^\[,]*),.*", r"=\1", word) for word in overrides]
    try:
        own = [staged(word, place) for word in overrides]
        compose(module.replace(".", "_"), own, CONFIGS[module])
    except McuformerError as error:
        yield f"{module}: {error}"


def faults_of_command(words: list[str], place: Path) -> Iterator[str]:
    program, rest = words[0], words[1:]
    if program == "make":
        yield from faults_of_make(rest)
    elif program == "mcuformer":
        yield from faults_of_module("mcuformer", rest, place)
    elif "-m" in rest:
        module, *rest = rest[rest.index("-m") + 1 :]
        preset = conf_dir() / f"{module.replace('.', '_')}.yaml"
        if module not in OF_RUNS and not preset.is_file():
            yield f"no such command: {module}"
            return
        yield from faults_of_module(module, rest, place)
    elif rest[0].startswith("tools/"):
        yield from faults_of_tool(rest[0], rest[1:])
    else:
        yield f"neither a command of this project nor a tool: {' '.join(words)}"


def faults_of_links(text: str, folder: Path) -> Iterator[str]:
    for target in document.links(text):
        name, _, anchor = target.partition("#")
        if "://" in target:
            continue
        if name and not (folder / name).exists():
            yield f"link to nothing: {target}"
        elif anchor and anchor not in document.headings((folder / name).read_text()):
            yield f"no such heading: {target}"
    for span in document.spans(text):
        placeholder = re.search(r"[/_][A-Z]+(_|\b)", span)  # oplib/ops/NAME.py, NAME_reader.py
        if FILE.fullmatch(span) and not placeholder and not (ROOT / span).exists():
            yield f"no such file: {span}"


def faults(text: str, folder: Path, place: Path) -> list[str]:
    """Return the faults of a document: broken links, missing files, commands not understood."""
    found = [fault for words in commands(text) for fault in faults_of_command(words, place)]
    return [*found, *faults_of_links(text, folder)]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_keeps_its_promises(path: Path, tmp_path: Path) -> None:
    assert faults(path.read_text(), path.parent, tmp_path) == []


def test_the_readme_has_commands() -> None:
    assert len(list(commands((ROOT / "README.md").read_text()))) >= 6


WRONG = {
    "    make everything": "make has no target everything",
    "    make demo CHIP=stm32f746": "make has no variable CHIP",
    "    python -m evolve.space space_search.kay=3": "evolve.space: .*space_search.kay",
    "    python -m evolve.spaces": "no such command: evolve.spaces",
    "    torchrun --nproc_per_node 2 -m supernet.train thread=1": "supernet.train: .*thread",
    "    mcuformer device=stm32f999": "mcuformer: .*stm32f999",
    "    mcuformer look runs/a": "mcuformer look: error: ",
    "see `python tools/bench_trend.py --seed 3`": "tools/bench_trend.py has no flag --seed",
    "```\npython tools/bench.py\n```": "no such file: tools/bench.py",
    "    one\n    mcuformer inspct runs/a\n\n    two": "mcuformer inspct: error: no such command",
    "    mcuformer predict zoo:digit a.png": "no such network: zoo:digit",
    "a list:\n\n    make nothing\nprose\n    make prose": "make has no target nothing",
    "see `oplib/planner.py`": "no such file: oplib/planner.py",
    "see [usage](docs/absent.md)": "link to nothing: docs/absent.md",
    "see [usage](README.md#absent)": "no such heading: README.md#absent",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_broken_promise_is_seen(text: str, tmp_path: Path) -> None:
    found = faults(f"{text}\n", ROOT, tmp_path)
    assert len(found) == 1
    assert re.match(WRONG[text], found[0], re.DOTALL)
