"""Every script of tools/ prints one JSON object for other programs when asked to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tool_help import SCRIPTS, help_of_tools


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_takes_json(path: Path) -> None:
    assert re.search(r"^\s+--json\s", help_of_tools()[path.name], re.MULTILINE)
