"""External programs: missing, failing, hanging."""

from __future__ import annotations

import sys

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
def test_the_informative_lines_of_a_failure_are_kept() -> None:
    script = "print('start'); print('a.c: error: no'); print('the end'); raise SystemExit(3)"
    with pytest.raises(FirmwareError, match=r"failed with exit code 3: a\.c: error: no$"):
        tools.run([sys.executable, "-c", script])
    with pytest.raises(FirmwareError, match="did not finish within 0 s"):
        tools.run([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.2)
    with pytest.raises(FirmwareError, match=r"^no-such-cc: cannot be started: No such file"):
        tools.run(["no-such-cc", "--version"])
