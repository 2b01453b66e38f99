"""Give every command wrong configurations, and count how they are answered.

A case changes one or two leaves of a command's valid configuration (wrong types, beyond the bounds,
huge, tiny, misspelt), a file of the user's own, or a whole command line. It goes through the
functions that the command itself uses, up to the point where the stage would begin. A refusal must
be one line, and must leave no file behind; a case that takes more than 8 s is a hang.

Cases depend on --seed and their number alone: --first N --cases 1 repeats one.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

from tool import Parser, require_at_least, run

from evolve.finetune import FINETUNE
from evolve.qat import QAT
from evolve.search import SEARCH
from evolve.space import SPACE
from evolve.supernet_landscape import EvolveSpaceConfig
from mcuformer.chain import ChainConfig, stage_config, stages
from mcuformer.device import Device
from mcuformer.errors import McuformerError, one_line
from mcuformer.fields import complete, stray_key
from mcuformer.run import entry
from mcuformer.run.artifact import read_value
from mcuformer.run.command_line import refuse
from mcuformer.run.presets import conf_dir
from mcuformer.run.user_file import read_user_yaml
from mcuformer.subnet import SubnetConfig
from mcuformer.value import Value
from oplib.export import EXPORT
from oplib.network.timm_vit import TimmVit
from supernet.train import TRAIN

SECONDS = 8.0  # a case that takes longer is a hang
LONGEST_LINE = 3000
LINE_SHARE, FILE_SHARE = 0.08, 0.10
DEEP = json.loads("[" * 60 + "]" * 60)
# fmt: off
VALUES: tuple[Any, ...] = (
    None, True, False, "", "x", "x" * 5000, "ü", "日本", "a\0b", "\x1b[31m", "[/b]", "{", "\ud800",
    -1, 0, 1, 2, 3, 7, 64, 255, 1024, 10**5, 10**6, 10**9, 2**31, 2**32, 2**63, 2**64, 10**400,
    10**5000, 1e-300, 1e-3, -0.5, 0.5, 1.5, 100.0, 1e9, 1e308, float("nan"), float("inf"),
    [], [0], [1], [-1], [1, 2], [2, 1], [1, 1], ["x"], [[1]], [None], [10**6], [1e-300], [1e308],
    list(range(1, 33)), list(range(1, 200)), [0.5, 1.0], DEEP, {}, {"a": 1}, {"name": "x"},
    "../../x", "~", "~nobody/x", "/dev/zero", "/proc/self/mem", "/nonexistent/x", "-o", "$(touch",
    "${seed}", "${oc.env:HOME}", "${absent}", "${run_dir}", "???", "1", "1e3", "true", "nan",
)
TOKENS = (
    "=x", "", "=", "a..b=1", ".=1", "~seed", "~", "+", "++", "+seed=1", "++seed=1", "~device",
    "device=3", "device=[a,b]", "device=", "device=null", "device=none", "device=true", "+device=x",
    "device=absent", "device=./absent.yaml", "device=/dev/zero", "device=/", "device={a: 1}",
    "space=absent", "data=npz", "recipe@x=qat", "recipe@train=absent", "@=1", "a@b@c=1",
    "--run", "-m", "--cfg", "job", "--help", "--version", "--info", "-c", "--resolve", "--no", "-x",
    "--package", "seed=(", "seed=)", "seed={", "seed=[1", "seed='", 'seed="', "seed=\\", "seed=1,2",
    "run_dir=", "run_dir='", "run_dir=a (b)=ü", "run_dir=\\", "run_dir=a\nb", "run_dir=[/b]",
    "hydra.x=1", "hydra/launcher=absent", "hydra.job.name={", "seed=${seed}", "seed=range(3)",
    "seed=glob(*)", "inspct", "日=本", "\x1b=1", "a\0=1",
)
FRAGMENTS = (
    b"", b"\0", b"\xff", b"\t", b"&a ", b"*a", b"!!python/object:os.system ", b"!!binary ", b"${x}",
    b": ", b"- ", b"{", b"}", b"[" * 50, b"]", b"'", b'"', b"#", b"\n", b"---\n", b"9" * 50,
    b"2020-01-01", b"null", b"~", b"NaN", b"-", b"%", b"@", b"hydra: ", b"_target_: ", b"? ", b"| ",
)
# fmt: on
SUBNETS = Path(__file__).parents[1] / "docs" / "subnets"


@dataclass(frozen=True)
class Program:
    """A command, or a kind of file, that cases are made for.

    Args:
        name: name in the reports.
        config_name: primary configuration; empty for a kind of file.
        model: type of the configuration.
        begin: what the command does before its stage begins.
        valid: a valid configuration.
    """

    name: str
    config_name: str
    model: type[Value]
    begin: Callable[[Any], Any]
    valid: dict[str, Any]


def programs(folder: Path) -> list[Program]:
    """Return the commands, each with a valid configuration whose run directory is in `folder`."""
    found = []
    line = [f"run_dir={folder}/run"]
    for command in (SPACE, TRAIN, SEARCH, FINETUNE, QAT, EXPORT):
        valid = entry.compose(command.config_name, line, command.config)
        found.append(
            Program(command.name, command.config_name, command.config, command.stage, valid)
        )
    valid = entry.compose("mcuformer", line, ChainConfig)
    found.append(Program("mcuformer", "mcuformer", ChainConfig, begin_chain, valid))
    export = next(each for each in found if each.name == "oplib.export")
    own = export.valid | {"weights": f"{folder}/w", "vit": complete(TimmVit, {})}
    found.append(Program("a network", "oplib_export", export.model, export.begin, own))
    return found


def begin_space(config: EvolveSpaceConfig) -> None:
    """Do what the space search does before it begins."""
    SPACE.stage(config)


def begin_chain(config: ChainConfig) -> None:
    """Do what the chain does before its first stage begins; a plan would measure this machine."""
    for command in stages(config)[:-1]:  # the report's stage reads what the others write
        command.stage(stage_config(command, config))


def paths(content: Any, prefix: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every value in nested containers."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        yield (*prefix, key)
        if isinstance(value, dict | list):
            yield from paths(value, (*prefix, key))


def mutate(content: dict[str, Any], rng: random.Random) -> tuple[dict[str, Any], str]:
    """Return a copy with one value replaced, or a key misspelt or removed, and what was done."""
    content = copy.deepcopy(content)
    path = rng.choice(list(paths(content)))
    parent: Any = content
    for key in path[:-1]:
        parent = parent[key]
    key, where = path[-1], ".".join(map(str, path))
    if isinstance(key, str) and rng.random() < 0.08:
        value = parent.pop(key)
        if rng.random() < 0.5:
            return content, f"{where} removed"
        wrong = misspelt(key, rng)
        parent[wrong] = value
        return content, f"{where} renamed {wrong!r}"
    parent[key] = value = wrong_value(parent[key], rng)
    shown = repr(value) if not isinstance(value, int) or abs(value) < 10**30 else "a huge number"
    return content, f"{where}={shown[:80]}"


def wrong_value(value: Any, rng: random.Random) -> Any:
    """Return a value from the table, or one that is near to `value`."""
    if rng.random() < 0.7:
        return copy.deepcopy(rng.choice(VALUES))
    match value:
        case bool():
            return str(value)
        case int() | float():
            return rng.choice([-value, value * 1000, value + 1, value // 3, str(value), [value]])
        case str():
            return rng.choice([misspelt(value, rng), value.upper(), value * 40, [value]])
        case list():
            return rng.choice([value[::-1], value + value, value * 50, value[:1], value[:0]])
    return [value]


def misspelt(text: str, rng: random.Random) -> str:
    """Return a text with one letter dropped, doubled or changed."""
    position = rng.randrange(len(text) + 1)
    return text[:position] + rng.choice(["", "x", "_", ".", "é"]) + text[position + 1 :]


def value_text(value: Any) -> str:
    """Return a value as somebody would type it after ``key=``."""
    if value == 10**5000:  # more digits than Python prints
        return "9" * 5000
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode(errors="replace").decode()


def line_case(program: Program, rng: random.Random, folder: Path) -> tuple[str, Callable[[], int]]:
    """Return a description and a function that gives a command line to the command."""
    arguments = [f"run_dir={folder}/run"]
    for _ in range(rng.choice([1, 1, 2, 3])):
        path = rng.choice(list(paths(program.valid)))
        key = ".".join(part for part in path if isinstance(part, str))
        token = rng.choice(TOKENS)
        if rng.random() < 0.6:
            token = f"{key}={value_text(rng.choice(VALUES))}"
        arguments.append(misspelt(token, rng) if rng.random() < 0.2 else token)
    rng.shuffle(arguments)
    function = partial(entry.run, program.config_name, program.model, program.begin, arguments)
    return f"{program.name}: line {str(arguments)[:300]}", function


def file_case(rng: random.Random, folder: Path) -> tuple[str, Callable[[], int]]:
    """Return a description and a function that reads a user's damaged preset or subnet."""
    source = rng.choice(sorted([*conf_dir().glob("device/*.yaml"), *SUBNETS.glob("*.json")]))
    data = bytearray(source.read_bytes())
    for _ in range(rng.choice([1, 2, 5, 20])):
        position = rng.randrange(len(data) + 1)
        data[position : position + rng.choice([0, 1, 1, 8])] = rng.choice(FRAGMENTS)
    target = folder / "inputs" / f"mine{source.suffix}"
    by_command = rng.random() < 0.2

    def read() -> int:
        target.write_bytes(data)
        if source.suffix == ".json":
            read_value(target, "subnet", SubnetConfig)
        elif by_command:
            line = [f"device={target}", f"run_dir={folder}/run"]
            return entry.run(SPACE.config_name, SPACE.config, begin_space, line)
        else:
            Device.parse(read_user_yaml(target))
        return 0

    return f"{source.name}: {bytes(data)[:200]!r}", read


def container_case(program: Program, rng: random.Random) -> tuple[str, Callable[[], int]]:
    """Return a description and a function that validates a changed configuration and begins."""
    content, text = mutate(program.valid, rng)
    if rng.random() < 0.3:
        content, more = mutate(content, rng)
        text += f", {more}"

    def begin() -> int:
        refuse(stray_key(program.model, content))
        program.begin(program.model.parse(content))
        return 0

    return f"{program.name}: {text}", begin


def case(
    number: int, seed: int, known: list[Program], folder: Path
) -> tuple[str, Callable[[], int]]:
    """Return the description and the function of a case."""
    rng = random.Random(f"{seed}/{number}")
    share = rng.random()
    if share < FILE_SHARE:
        return file_case(rng, folder)
    program = rng.choice(known)
    if share < FILE_SHARE + LINE_SHARE:
        return line_case(program, rng, folder)
    return container_case(program, rng)


def outcome(function: Callable[[], int], folder: Path) -> tuple[str, str]:
    """Run a case; return ``refused``, ``accepted``, ``exception`` or ``written``, and details."""
    kind, detail = answer(function)
    left = clear(folder)
    return ("written", left[0]) if left and kind == "refused" else (kind, detail)


def answer(function: Callable[[], int]) -> tuple[str, str]:
    """Run a case; return ``refused``, ``accepted`` or ``exception``, and details."""
    output, errors = StringIO(), StringIO()
    try:
        with redirect_stdout(output), redirect_stderr(errors):
            code = function()
        line = errors.getvalue()
        if code not in (0, 2) or (code == 2 and not _is_one_line(line)):
            return "exception", f"exit code {code}: {line[:300]}"
        return "refused" if code else "accepted", line.strip()
    except McuformerError as error:
        line = one_line(error)
        if error.exit_code != 2 or len(line) > LONGEST_LINE:
            return "exception", line[:300]
        return "refused", line
    except BaseException:
        return "exception", " | ".join(traceback.format_exc().strip().splitlines()[-5:])


def clear(folder: Path) -> list[str]:
    """Remove what a case left in the folder; return the names."""
    left = [path for path in folder.iterdir() if path.name != "inputs"]
    for path in left:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return [path.name for path in left]


def _is_one_line(text: str) -> bool:
    """Return whether a refusal is one line; Hydra names the job of a sweep before it."""
    lines = [line for line in text.splitlines() if not line.startswith("Error executing job")]
    return len(lines) == 1 and lines[0].startswith("error: ") and len(text) <= LONGEST_LINE


def work(numbers: range, seed: int, known: list[Program], folder: Path, writing: int) -> None:
    """Run cases in a worker process; write a line of JSON before and after each."""
    with os.fdopen(writing, "w", buffering=1) as pipe:
        for number in numbers:
            text, function = case(number, seed, known, folder)
            pipe.write(json.dumps([number, "started", text]) + "\n")
            pipe.write(json.dumps([number, *outcome(function, folder)]) + "\n")


def watched(numbers: range, seed: int, known: list[Program], folder: Path) -> Iterator[list[Any]]:
    """Yield [number, outcome, details, description] of cases that a forked worker runs.

    A worker that says nothing for :data:`SECONDS` is killed, and its case is a hang.
    """
    reading, writing = os.pipe()
    worker = os.fork()
    if worker == 0:
        os.close(reading)
        try:
            work(numbers, seed, known, folder, writing)
        finally:
            os._exit(0)
    os.close(writing)
    current: list[Any] = [numbers.start, "started", "the first case"]
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        rest = b""
        while True:
            if not select.select([pipe], [], [], SECONDS)[0]:
                yield [current[0], "hang", "", current[2]]
                break
            data = pipe.read(65536)
            if not data:
                if current[1] == "started":
                    yield [current[0], "exception", "the worker died", current[2]]
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                message = json.loads(line)
                if message[1] != "started":
                    yield [*message, current[2]]
                current = message
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)


def fuzz(options: argparse.Namespace) -> dict[str, Any]:
    """Run the cases; return the counts, and what was found.

    Raises:
        ConfigError: a number is not positive.
    """
    require_at_least(1, cases=options.cases)
    import timm  # noqa: F401  imported once, not by every worker

    counts = dict.fromkeys(("refused", "accepted", "exception", "hang", "written"), 0)
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "inputs").mkdir()
        known = programs(folder)
        os.chdir(folder)
        number, end = options.first, options.first + options.cases
        while number < end:
            clear(folder)  # a case that hung leaves what it wrote
            for done, kind, detail, text in watched(
                range(number, end), options.seed, known, folder
            ):
                counts[kind] += 1
                number = done + 1
                if kind not in ("refused", "accepted"):
                    found.append(f"case {done}: {kind}: {text}: {detail}")
                    print(found[-1], file=sys.stderr)
                elif options.verbose:
                    print(f"case {done}: {kind}: {text}: {detail}", file=sys.stderr)
        os.chdir("/")
    return {
        "seed": options.seed,
        "cases": options.cases,
        "refused": counts["refused"],
        "accepted": counts["accepted"],
        "exceptions": counts["exception"],
        "hangs": counts["hang"],
        "written_by_refused": counts["written"],
        "found": found,
    }


def main() -> int:
    """Run the tool; return the exit code."""
    parser = Parser(__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--verbose", action="store_true", help="print every case")
    return run(parser, fuzz, wrong=lambda result: bool(result["found"]))


if __name__ == "__main__":
    sys.exit(main())
