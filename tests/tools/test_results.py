"""docs/results.md equals what tools/results.py generates from the saved measurements."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from commands import Printed, run


def run_results(root: Path, *arguments: str | Path) -> Printed:
    return run([root / "tools" / "results.py", *arguments], cwd=root)


def test_the_page_is_up_to_date(root: Path, tmp_path: Path) -> None:
    result = run_results(root, "--page", tmp_path / "page.md")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "page.md").read_text() == (root / "docs" / "results.md").read_text()


def test_a_section_is_measured_and_written(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table has command, machine and versions; values that were not measured are left out."""
    monkeypatch.syspath_prepend(str(root / "tools"))
    results = importlib.import_module("results")
    short = replace(results.SECTIONS["trend"], arguments=("--seeds", "2", "--visits", "8"))
    monkeypatch.setitem(results.SECTIONS, "trend", short)
    options = argparse.Namespace(names=["trend"], saved=tmp_path, page=tmp_path / "page.md")
    assert results.write(options)["written"] == ["trend"]
    saved = json.loads((tmp_path / "trend.json").read_text())
    page = (tmp_path / "page.md").read_text()
    assert "\n    python tools/bench_trend.py --seeds 2 --visits 8\n" in page
    measured = saved["result"]["rows"][0]
    assert (measured["landscape"], measured["selector"]) == ("peak", "trend")
    regret = f"{measured['mean_regret']:.3f} ± {measured['deviation']:.3f}"
    percent = f"{100 * measured['optimum_rate']:.0f} %"
    assert f"\n| trend | 8 | {regret} | {measured['behind']:.2f} | {percent} |\n" in page
    version = ".".join(map(str, sys.version_info[:3]))
    measured_on = " ".join(page[page.index("*Measured") :].split())
    assert measured_on.startswith(f"*Measured {saved['date']} in ")
    assert f"; Python {version}, torch" in measured_on
    assert page.count("\n## ") == 1


def test_an_unknown_section_is_refused(root: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    result = run_results(root, "trends", "--saved", tmp_path, "--page", page)
    assert result.returncode == 2
    assert result.stderr.startswith("error: NAME: no such section (got trends, expected all, demo")
    assert result.stderr.count("\n") == 1
    assert not page.exists()
