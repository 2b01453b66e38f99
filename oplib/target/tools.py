"""Locate and run external programs; report clearly which one is missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from mcuformer.errors import FirmwareError, ToolMissingError

INFORMATIVE = re.compile(r"overflowed|error:|Error:|undefined reference|not found")
PACKAGES = {
    "cmake": "cmake",
    "cc": "gcc",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "arm-none-eabi-nm": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "arm-none-eabi-size": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "arm-none-eabi-objdump": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
}


OLDEST: dict[str, tuple[int, ...]] = {
    "cmake": (3, 16),  # of its files here
    "arm-none-eabi-gcc": (9,),  # no older one was in use when this was written; 12.2 was tried
    "qemu-system-arm": (5, 1),  # the first with the netduinoplus2; 7.2 was tried
}
VERSION = re.compile(r"\b(\d+(?:\.\d+)+)")


def installed() -> list[str]:
    """Return the programs that are installed; which results can be verified depends on them."""
    return [program for program in PACKAGES if shutil.which(program) is not None]


def require(*programs: str) -> None:
    """Check that programs are installed, in versions that are not too old.

    Raises:
        ToolMissingError: naming the Debian packages to install, or the version that is needed.
    """
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        packages = " ".join(dict.fromkeys(PACKAGES[program] for program in missing))
        raise ToolMissingError(
            f"{', '.join(missing)} not found; install with `apt-get install {packages}`"
        )
    for program in programs:
        if program in OLDEST:
            _refuse_old(program, str(shutil.which(program)))


@cache
def _refuse_old(program: str, path: str) -> None:
    """Refuse a program that is older than what it is needed for.

    Raises:
        ToolMissingError: naming both versions.
    """
    found = VERSION.search(run([path, "--version"]).stdout)
    numbers = tuple(map(int, found[1].split("."))) if found else ()
    if numbers and numbers < OLDEST[program]:
        needed = ".".join(map(str, OLDEST[program]))
        raise ToolMissingError(
            f"{program} is too old", got=".".join(map(str, numbers)), expected=f"{needed} or newer"
        )


def run(
    command: Sequence[str],
    *,
    directory: Path | None = None,
    temporary: Path | None = None,
    timeout: float = 600.0,
) -> subprocess.CompletedProcess[str]:
    """Run a program and return its exit code and output.

    Args:
        command: program and arguments.
        directory: working directory; None for the current one.
        temporary: folder for its temporary files, which it leaves if it is killed; None for the
            system's.
        timeout: limit in seconds.

    Raises:
        FirmwareError: it failed, took too long or is not there; the message holds its most
            informative lines.
    """
    try:
        result = subprocess.run(
            command,
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            env=None if temporary is None else {**os.environ, "TMPDIR": str(temporary)},
        )
    except subprocess.TimeoutExpired as error:
        raise FirmwareError(f"did not finish within {timeout:.0f} s", where=command[0]) from error
    except OSError as error:
        raise FirmwareError(f"cannot be started: {error.strerror}", where=command[0]) from error
    if result.returncode != 0:
        printed = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
        informative = [line for line in printed if INFORMATIVE.search(line)]
        reason = " / ".join((informative or printed)[-2:])
        raise FirmwareError(
            f"failed with exit code {result.returncode}: {reason}", where=command[0]
        )
    return result
