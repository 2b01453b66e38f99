"""A short seeded run of the fuzzer, and proof that it would see what it looks for."""

from __future__ import annotations

import importlib
import json
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from commands import run

from mcuformer.errors import DataError


@pytest.fixture
def fuzz(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(root / "tools"))
    return importlib.import_module("fuzz_files")


def test_a_hundred_damaged_files(root: Path) -> None:
    result = run(["tools/fuzz_files.py", "--cases", "100", "--seed", "12", "--json"], cwd=root)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["refused"] + found["accepted"] == found["cases"] == 100
    assert found["refused"] > 25
    assert (found["exceptions"], found["hangs"], found["written_by_refused"]) == (0, 0, 0)


def test_what_counts_as_a_fault(
    fuzz: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> None:
        raise DataError("no")

    def write_and_refuse(folder: Path) -> None:
        (folder / "half").write_text("written")
        raise DataError("no")

    def refuse_in_two_lines(folder: Path) -> None:
        raise DataError("no\nno")

    readers = {
        "accepts": (lambda folder: None, ["accepted"]),
        "refuses": (refuse, ["refused"]),
        "writes": (write_and_refuse, ["refused", "written_by_refused"]),
        "lines": (refuse_in_two_lines, ["exceptions"]),
        "raises": (lambda folder: 1 // 0, ["exceptions"]),
        "hangs": (lambda folder: time.sleep(60), ["hangs"]),
    }
    monkeypatch.setattr(fuzz, "SECONDS", 1)
    for name, (read, expected) in readers.items():
        monkeypatch.setitem(fuzz.TARGETS, name, (lambda folder: None, read))
        assert fuzz.outcome(0, name, tmp_path) == expected


def test_cases_are_repeatable_and_damage_one_file(fuzz: ModuleType, tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        for name in "ab":
            (tmp_path / name).write_bytes(bytes(range(200)))
        fuzz.damage(tmp_path, np.random.default_rng([3, 4]))
        found.append([(tmp_path / name).read_bytes() for name in "ab"])
    assert found[0] == found[1]
    assert sum(content != bytes(range(200)) for content in found[0]) == 1
