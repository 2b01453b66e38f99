"""Run every command on disks that are full or cannot be written to; each must end in one line.

    python tools/fill_disks.py [--commands NAME ...] [--json]        (root: it mounts small disks)

Each command of a small run on digits starts from the same inputs on a disk in memory: without
space, with a part of the space that it needs, read-only, and with no space for temporary files.
It must fail with one line and leave the files that were there as they were. With space again, the
same command must end with artefacts equal to those of an undisturbed run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tool
from kill_runs import COMMANDS, WAIT_SECONDS, Work, undisturbed
from tool import Parser, Table

from mcuformer.errors import McuformerError
from mcuformer.run.artifact import file_digest

READ_ONLY, TEMPORARY = "read-only", "no space for temporary files"
FREE = {"no space": 0.0, "a third of the space": 0.33, "two thirds of the space": 0.67}
FAULTS = (*FREE, READ_ONLY, TEMPORARY)
BAD_INPUT = 2  # exit code


@contextmanager
def disk(folder: Path, num_bytes: int) -> Iterator[None]:
    """Mount an empty disk in memory at a new folder.

    Raises:
        McuformerError: this user may not mount.
    """
    folder.mkdir(parents=True)
    mount("-t", "tmpfs", "-o", f"size={num_bytes}", "tmpfs", str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()


def mount(*arguments: str) -> None:
    """Run mount.

    Raises:
        McuformerError: it failed.
    """
    result = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise McuformerError(f"mounting needs root: {result.stderr.strip()}", where="mount")


def used(folder: Path) -> int:
    """Return the bytes that the files of a folder's disk take."""
    status = os.statvfs(folder)
    return (status.f_blocks - status.f_bfree) * status.f_bsize


def fill(folder: Path, free: int) -> Path:
    """Fill the disk of a folder but for `free` bytes; return the file that does."""
    path, status = folder / "filler", os.statvfs(folder)
    with path.open("wb") as file:
        for _ in range((status.f_bavail * status.f_bsize - free) // status.f_bsize):
            file.write(bytes(status.f_bsize))
    return path


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of every file in a folder but the locks."""
    return {
        str(path.relative_to(folder)): file_digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def start(name: str, run_dir: Path, temporary: Path) -> tuple[int, list[str]]:
    """Run a command to its end; return its exit code and the lines that it printed as errors."""
    command = [sys.executable, "-m", name, *COMMANDS[name], f"run_dir={run_dir}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(temporary)}
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=WAIT_SECONDS
    )
    return result.returncode, result.stderr.strip().splitlines()


def try_fault(work: Work, fault: str, place: Path) -> str:
    """Run a command on a faulty disk, then on a good one; return what was wrong, or nothing.

    Args:
        work: the command with its undisturbed run.
        fault: one of :data:`FAULTS`.
        place: folder for the disks.
    """
    run_dir, temporary = place / "disk" / "run", place / "temporary"
    needed = sum(path.stat().st_size for path in work.whole.rglob("*") if path.is_file())
    with disk(place / "disk", 8 * needed + 2**24), disk(temporary, 2**28):
        shutil.copytree(work.before, run_dir)
        before, full = digests(run_dir), place / "disk"
        if fault == READ_ONLY:
            mount("-o", "remount,ro", str(full))
        else:
            full = temporary if fault == TEMPORARY else full
            filler = fill(full, int(FREE.get(fault, 0.0) * (needed - used(run_dir))))
        code, lines = start(work.name, run_dir, temporary)
        errors = [line for line in lines if line.startswith("error: ")]
        if code != 0 and (code != BAD_INPUT or len(errors) != 1 or lines[-1:] != errors):
            return f"exit code {code}: {' / '.join(lines[-4:])}"
        print(f"{work.name}, {fault}: {errors[0] if errors else 'succeeded'}", file=sys.stderr)
        after = digests(run_dir)
        lost = [name for name, digest in before.items() if after.get(name) != digest]
        if lost and code != 0:  # a command that found the space may replace files
            return f"changed: {', '.join(lost)}"
        if fault == READ_ONLY:
            mount("-o", "remount,rw", str(full))
        else:
            filler.unlink()
        code, lines = start(work.name, run_dir, temporary)
        if code != 0:
            return f"then, with space: {' / '.join(lines[-2:])}"
        return ", ".join(work.differing_from(run_dir))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run everything undisturbed, then on faulty disks."""
    wrong = {}
    with tempfile.TemporaryDirectory(prefix="fill_disks-") as name:
        folder = Path(name)
        for work in undisturbed(folder / "undisturbed", options.commands):
            for fault in FAULTS:
                found = try_fault(work, fault, folder / "disks")
                if found:
                    wrong[f"{work.name}, {fault}"] = found
    return {"cases": len(options.commands) * len(FAULTS), "wrong": wrong}


def tables(result: dict[str, Any]) -> list[Table]:
    """Return the cases that went wrong as a table."""
    rows = [(name, what) for name, what in result["wrong"].items()]
    header = ("command and fault", f"what was wrong, of {result['cases']} cases")
    return [Table(header, rows or [("none", "")], words=2)]


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("--commands", nargs="+", default=list(COMMANDS), choices=list(COMMANDS))
    return tool.run(parser, measure, tables, wrong=lambda result: bool(result["wrong"]))


if __name__ == "__main__":
    raise SystemExit(main())
