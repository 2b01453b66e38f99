"""What the tools share: tables, refusals, means with their spread."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest
from commands import run


@pytest.fixture
def load(root: Path, monkeypatch: pytest.MonkeyPatch):
    """Import a module of tools/, as a script there does."""
    monkeypatch.syspath_prepend(str(root / "tools"))

    def load_module(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load_module


def test_a_table_as_text_and_as_markdown(load) -> None:
    table = load("tool").Table(("name", "bytes"), [("a", "1,024"), ("longer", "8")], "Sizes")
    assert table.text() == "Sizes\nname    bytes\na       1,024\nlonger      8"
    assert table.markdown() == (
        "Sizes:\n\n| name | bytes |\n| --- | ---: |\n| a | 1,024 |\n| longer | 8 |"
    )


def test_mean_and_spread(load) -> None:
    """Of 1, 2 and 6: mean 3, deviations -2, -1, 3, variance 14 / 2."""
    mean_and_spread = load("tool").mean_and_spread
    assert mean_and_spread([1.0, 2.0, 6.0]) == "3.00 ± 2.65"
    assert mean_and_spread([1.0]) == "1.00"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--seeds", "0"), "error: --seeds: at least 1 (got 0)\n"),
        (("--seed", "x"), "error: argument --seeds: invalid int value: 'x'\n"),
        (("--colour",), "error: unrecognized arguments: --colour\n"),
    ],
)
def test_bad_options_are_one_line(root: Path, arguments: tuple[str, ...], line: str) -> None:
    result = run([root / "tools" / "bench_trend.py", *arguments], cwd=root)
    assert (result.returncode, result.stderr, result.stdout) == (2, line, "")


def test_the_demo_table_gives_the_spread_and_marks_what_was_not_verified(load) -> None:
    row = {
        "device": "chip",
        "seed": 0,
        "images": 359,
        "accuracy_percent": {"inherited": 95.0, "float": 97.0, "int8": 96.0},
        "bit_exact": {"host": True, "emulated": None},
        "sram_bytes": dict.fromkeys(("arena_linked", "static", "stack_high_water", "total"))
        | {"stack_bound": 588, "budget": 8},
        "flash_bytes": {"weights": 7, "code": None, "total": None, "budget": 9},
        "macs": 1000,
        "instructions": None,
        "seconds": 60.4,
    }
    other = {**row, "seed": 1, "accuracy_percent": {"inherited": 95.0, "float": 98.0, "int8": 98.0}}
    bench_demo = load("bench_demo")
    accuracies, seeds, costs = bench_demo.tables({"rows": [row, other]})
    assert accuracies.rows == [("chip", "95.00 ± 0.00", "97.50 ± 0.71", "97.00 ± 1.41")]
    assert seeds.rows[1] == ("chip", "1", "95.00", "98.00", "98.00")
    missing = "not verified"
    sram = (missing, missing, missing, "588", f"{missing} of 8")
    flash = ("7", missing, f"{missing} of 9")
    rest = ("1,000", missing, "not recorded", "60")
    assert costs.rows[1] == ("chip", "1", *sram, *flash, *rest)
    assert not bench_demo.exact(row)
    assert bench_demo.exact({**row, "bit_exact": {"host": True, "emulated": True}})
