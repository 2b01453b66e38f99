"""Every script of tools/ prints one JSON object for other programs when asked to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from commands import run

TOOLS = Path(__file__).resolve().parents[2] / "tools"
SCRIPTS = sorted(path for path in TOOLS.glob("*.py") if "__main__" in path.read_text())


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_takes_json(path: Path) -> None:
    result = run([path, "--help"])
    assert result.returncode == 0, result.stderr
    assert re.search(r"^\s+--json\s", result.stdout, re.MULTILINE)
