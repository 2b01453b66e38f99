"""Damage valid files at random and read them: every reader must accept them or refuse in one line.

    python tools/fuzz_files.py [--seed 0] [--cases 5000] [--only NAME ...] [--json]

Every case is one file with one to three mutations, read in a process of its own, which is ended
after 8 seconds. A case is *refused* by an error of the project's own, whose message is one line.
Anything else that is raised, and a process that dies, is an *exception*, whose traceback is printed
with the number of the case; `--first N --cases 1` repeats it. A refused case has written nothing.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import traceback
from argparse import Namespace
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tool
from fuzz_artifacts import ARTIFACT_TARGETS
from fuzz_data import DATA_TARGETS, Target
from tool import Parser, Table

from mcuformer.errors import ConfigError, McuformerError
from mcuformer.run.progress import track

TARGETS: dict[str, Target] = {**DATA_TARGETS, **ARTIFACT_TARGETS}
SECONDS = 8
OUTCOMES = ("accepted", "refused", "exceptions")  # exit codes of a case's process
RESULTS = ("cases", "refused", "accepted", "exceptions", "hangs", "written_by_refused")
EXTREMES = (0x00, 0x01, 0x7F, 0x80, 0xFF)
HEADER_BYTES = 64
Rng = np.random.Generator
Mutation = Callable[[bytearray, Rng], bytearray]


def flip_bits(data: bytearray, rng: Rng) -> bytearray:
    """Flip one to sixteen bits."""
    for _ in range(int(rng.integers(1, 17))):
        if data:
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    return data


def truncate(data: bytearray, rng: Rng) -> bytearray:
    """Cut the end off."""
    return data[: int(rng.integers(len(data) + 1))]


def zero_block(data: bytearray, rng: Rng) -> bytearray:
    """Fill a stretch with zeros, as a failing disk does."""
    start = int(rng.integers(len(data) + 1))
    end = min(len(data), start + int(rng.integers(1, 513)))
    data[start:end] = bytes(end - start)
    return data


def splice(data: bytearray, rng: Rng) -> bytearray:
    """Insert, or write over another place, a stretch of the same file."""
    start, place = (int(rng.integers(len(data) + 1)) for _ in range(2))
    piece = data[start : start + int(rng.integers(1, 257))]
    end = place + (len(piece) if rng.random() < 0.5 else 0)
    data[place:end] = piece
    return data


def edit_header(data: bytearray, rng: Rng) -> bytearray:
    """Write extreme values into the first bytes, where sizes stand."""
    for _ in range(int(rng.integers(1, 5))):
        place = int(rng.integers(min(HEADER_BYTES, len(data)) + 1))
        width = int(rng.choice((1, 2, 4)))
        data[place : place + width] = bytes([int(rng.choice(EXTREMES))]) * width
    return data


def append(data: bytearray, rng: Rng) -> bytearray:
    """Append random bytes."""
    return data + rng.bytes(int(rng.integers(1, 1025)))


MUTATIONS: tuple[Mutation, ...] = (flip_bits, truncate, zero_block, splice, edit_header, append)


def run(options: Namespace) -> dict[str, Any]:
    """Run the cases; return their number and that of each outcome."""
    tool.require_at_least(1, cases=options.cases)
    unknown = set(options.only) - set(TARGETS)
    if unknown:
        raise ConfigError("no such reader", where="--only", got=", ".join(sorted(unknown)))
    names = sorted(options.only or TARGETS)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="mcuformer-fuzz-") as scratch:
        valid = {name: Path(scratch, "valid", name) for name in names}
        for name, folder in valid.items():
            folder.mkdir(parents=True)
            write, read = TARGETS[name]
            write(folder)
            read(folder)  # valid files are accepted
        for number in track(range(options.first, options.first + options.cases), "cases"):
            rng = np.random.default_rng([options.seed, number])
            name = names[int(rng.integers(len(names)))]
            case = Path(scratch, "case")
            shutil.copytree(valid[name], case)
            damage(case, rng)
            counts.update(outcome(number, name, case))
            shutil.rmtree(case)
    return {"cases": options.cases} | {name: counts[name] for name in RESULTS[1:]}


def damage(folder: Path, rng: Rng) -> None:
    """Mutate one of the files in a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    path = files[int(rng.integers(len(files)))]
    data = bytearray(path.read_bytes())
    for _ in range(int(rng.integers(1, 4))):
        data = MUTATIONS[int(rng.integers(len(MUTATIONS)))](data, rng)
    path.write_bytes(data)


def outcome(number: int, name: str, folder: Path) -> list[str]:
    """Read a case's files in a process of its own; return the results that it counts for."""
    before = contents(folder)
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process == 0:
        os._exit(read_case(number, name, folder))
    _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status):
        if os.WTERMSIG(status) == signal.SIGALRM:
            print(f"case {number}, {name}: still running after {SECONDS} s", file=sys.stderr)
            return ["hangs"]
        print(f"case {number}, {name}: ended by signal {os.WTERMSIG(status)}", file=sys.stderr)
        return ["exceptions"]
    found = OUTCOMES[os.WEXITSTATUS(status)]
    wrote = found == "refused" and contents(folder) != before
    return [found, "written_by_refused"] if wrote else [found]


def read_case(number: int, name: str, folder: Path) -> int:
    """Read a case's files; return the exit code of the process."""
    signal.alarm(SECONDS)
    silence = os.open(os.devnull, os.O_WRONLY)
    errors = os.dup(2)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    try:
        TARGETS[name][1](folder)
    except McuformerError as error:
        if "\n" not in str(error):
            return OUTCOMES.index("refused")
        os.write(errors, f"case {number}, {name}: several lines: {error}\n".encode())
    except BaseException:  # whatever else a reader lets through is a fault
        os.write(errors, f"case {number}, {name}:\n{traceback.format_exc()}".encode())
    else:
        return OUTCOMES.index("accepted")
    return OUTCOMES.index("exceptions")


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file in a folder with its content."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def tables(result: dict[str, Any]) -> list[Table]:
    """Return the result as a table."""
    return [Table(RESULTS, [[f"{result[name]:,}" for name in RESULTS]], words=0)]


def main() -> int:
    """Run the command line; return the exit code, 1 if a case was neither accepted nor refused."""
    parser = Parser(__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help=", ".join(TARGETS))
    return tool.run(
        parser,
        run,
        tables,
        lambda result: any(result[name] for name in RESULTS[3:]),
    )


if __name__ == "__main__":
    sys.exit(main())
