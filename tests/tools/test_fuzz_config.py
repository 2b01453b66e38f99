"""Wrong configurations end in one line: no exception, no hang, nothing written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from commands import run


def test_a_short_run_finds_nothing(root: Path) -> None:
    result = run(["tools/fuzz_config.py", "--seed", "7", "--cases", "150", "--json"], cwd=root)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert [found[key] for key in ("exceptions", "hangs", "written_by_refused")] == [0, 0, 0]
    assert found["cases"] == found["refused"] + found["accepted"] == 150
    assert min(found["refused"], found["accepted"]) > 5  # neither all nor nothing is refused


def test_faults_are_seen(root: Path) -> None:
    """A case that raises, one that hangs and a refusal that writes are each counted as such."""
    script = """
import sys, time, pathlib, tempfile
sys.path[:0] = ["tools", "."]
import fuzz_config as fuzz
from mcuformer.errors import ConfigError
folder = pathlib.Path(tempfile.mkdtemp())
def written():
    (folder / "left").write_text("")
    raise ConfigError("refused")
def raised():
    raise ZeroDivisionError
print(*(fuzz.outcome(f, folder)[0] for f in (written, raised, lambda: 3)))
fuzz.SECONDS = 0.5
fuzz.case = lambda number, *_: ("sleep", lambda: time.sleep(10) or 0)
print(*next(fuzz.watched(range(5, 6), 0, [], folder))[:2])
"""
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    assert result.stdout.splitlines() == ["written exception exception", "5 hang"]
