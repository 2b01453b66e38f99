"""Networks on emulated boards answer rightly over a serial line that damages what it carries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import run


@pytest.mark.usefixtures("emulator_tools")
def test_every_image_comes_through(root: Path) -> None:
    pytest.importorskip("serial")
    tool = root / "tools" / "serial_faults.py"
    result = run([tool, "mps2-an500", "netduinoplus2", "--images", "6", "--json"])
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout.splitlines()[-1])["rows"]
    assert [(row["board"], row["strips"]) for row in rows] == [
        ("mps2-an500", True),
        ("netduinoplus2", False),
    ]
    for row in rows:
        assert row["equal"] == 6
        assert row["changed"] + row["cut"] + row["noise"] > 0
        assert row["repeated"] > 0
