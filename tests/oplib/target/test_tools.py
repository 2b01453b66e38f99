"""External programs: missing, failing, hanging."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from mcuformer.errors import FirmwareError, ToolMissingError
from oplib.target import tools


def test_a_missing_program_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert tools.installed() == []
    message = "cmake, cc not found; install with `apt-get install cmake gcc`"
    with pytest.raises(ToolMissingError, match=message):
        tools.require("cmake", "cc")


@pytest.mark.usefixtures("host_tools")
@pytest.mark.parametrize(
    ("program", "says", "message"),
    [
        ("cmake", "cmake version 3.5.1", "cmake is too old (got 3.5.1, expected 3.16 or newer)"),
        (
            "arm-none-eabi-gcc",
            "arm-none-eabi-gcc (15:8-2019-q3-1+b1) 8.3.1 20190703",
            "arm-none-eabi-gcc is too old (got 8.3.1, expected 9 or newer)",
        ),
        ("qemu-system-arm", "QEMU emulator version 7.2.22 (Debian)", ""),
        ("cmake", "cmake version 4.0", ""),
        ("cmake", "no number", ""),
    ],
)
def test_an_old_program_names_the_version_that_is_needed(
    program: str, says: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / program).write_text(f"#!/bin/sh\necho '{says}'\n")
    (tmp_path / program).chmod(0o755)
    if message:
        with pytest.raises(ToolMissingError, match=re.escape(message)):
            tools.require(program)
    else:
        tools.require(program)


@pytest.mark.usefixtures("host_tools")
def test_the_informative_lines_of_a_failure_are_kept() -> None:
    script = "print('start'); print('a.c: error: no'); print('the end'); raise SystemExit(3)"
    with pytest.raises(FirmwareError, match=r"failed with exit code 3: a\.c: error: no$"):
        tools.run([sys.executable, "-c", script])
    with pytest.raises(FirmwareError, match="did not finish within 0 s"):
        tools.run([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.2)
    with pytest.raises(FirmwareError, match=r"^no-such-cc: cannot be started: No such file"):
        tools.run(["no-such-cc", "--version"])
