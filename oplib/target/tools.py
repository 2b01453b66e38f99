"""External programs: found, run, and told plainly where they are missing."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from mcuformer.errors import FirmwareError, ToolMissingError

TELLING = re.compile(r"overflowed|error:|Error:|undefined reference|not found")
PACKAGES = {
    "cmake": "cmake",
    "cc": "gcc",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "arm-none-eabi-nm": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "arm-none-eabi-size": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
}


def installed() -> list[str]:
    """Return which of the programs are there; what was verified depends on it."""
    return [program for program in PACKAGES if shutil.which(program) is not None]


def require(*programs: str) -> None:
    """Check that programs are installed.

    Raises:
        ToolMissingError: naming the Debian packages to install.
    """
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        packages = " ".join(dict.fromkeys(PACKAGES[program] for program in missing))
        raise ToolMissingError(
            f"{', '.join(missing)} not found; install with `apt-get install {packages}`"
        )


def run(
    command: Sequence[str], *, directory: Path | None = None, timeout: float = 600.0
) -> subprocess.CompletedProcess[str]:
    """Run a program and return what it printed.

    Raises:
        FirmwareError: it failed or took too long; the message holds its last lines.
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
        )
    except subprocess.TimeoutExpired as error:
        raise FirmwareError(f"no end after {timeout:.0f} s", where=command[0]) from error
    if result.returncode != 0:
        printed = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
        telling = [line for line in printed if TELLING.search(line)]
        last = " / ".join((telling or printed)[-2:])
        raise FirmwareError(f"failed with exit code {result.returncode}: {last}", where=command[0])
    return result
