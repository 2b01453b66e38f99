"""Factors on a device's modelled time, from made-up measurements with known ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import run

from mcuformer.cost import ModelledTime
from mcuformer.device import Device
from mcuformer.run.artifact import file_digest, write_json

CLOCK = 216_000_000
Runs = Callable[..., str]


@pytest.fixture
def make_run(tmp_path: Path, stm32f746: Device) -> Runs:
    """Return a function that writes a run of modelled and measured cycles."""

    def make(name: str, core: float, waits: float, cycles: float, **changes: Any) -> str:
        folder = tmp_path / name
        device = stm32f746.dump() | changes.pop("device", {})
        time = ModelledTime.of(core, waits, CLOCK).dump()
        write_json(folder / "export.json", "export", {"device": device, "time": time})
        spread = {"min": cycles, "median": cycles, "max": cycles}
        record = {
            "device": "stm32f746",
            "emulated": False,
            "port": "/dev/ttyACM0",
            "baud": 115_200,
            "images": 1,
            "images_from": "steering",
            "equal": True,
            "different_images": 0,
            "cycles": spread,
            "clock_hz": CLOCK,
            "milliseconds": None,
            "stack_bytes": 500,
            "requests": 4,
            "repeated": 0,
            "refused": 0,
            "network": "0" * 64,
            "export": file_digest(folder / "export.json"),
            "measured": "2026-01-01T00:00:00Z",
            "git_revision": "unknown",
            "versions": {},
        }
        write_json(folder / "board.json", "board", record | changes)
        return str(folder)

    return make


def fitted(root: Path, *arguments: str) -> dict[str, Any]:
    result = run([root / "tools" / "fit_time.py", *arguments, "--json"])
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_one_run_tells_the_core(root: Path, make_run: Runs) -> None:
    """2.16 M cycles of the core that took 1.25 times as long, and waits as modelled."""
    found = fitted(root, make_run("a", 2.16e6, 432e3, 1.25 * 2.16e6 + 432e3))
    assert found["cpi_scale"] == 1.25
    assert not found["line_wait_cycles_fitted"]
    assert found["line_wait_cycles"] == 7
    assert found["rows"][0]["deviation_percent"] == 0.0
    scaled = {"device": {"cpi_scale": 1.2}}
    found = fitted(root, make_run("b", 2.16e6, 432e3, 1.25 * 2.16e6 + 432e3, **scaled))
    assert found["cpi_scale"] == 1.5  # the model had it in already


def test_several_runs_tell_the_memory_too(root: Path, make_run: Runs) -> None:
    """Cycles of 0.9 times the core's and 1.5 times the waits of 7 cycles per line."""
    shapes = {"a": (2.16e6, 108e3), "b": (2.16e6, 2.16e6), "c": (1.08e6, 4.32e6)}
    runs = [
        make_run(name, core, waits, 0.9 * core + 1.5 * waits)
        for name, (core, waits) in shapes.items()
    ]
    found = fitted(root, *runs)
    assert found["cpi_scale"] == pytest.approx(0.9, rel=1e-3)
    assert found["line_wait_cycles"] == pytest.approx(10.5, rel=1e-3)
    assert found["line_wait_cycles_fitted"]
    alike = [make_run(name, 2.16e6, 432e3, 1.1 * 2.16e6 + 432e3) for name in "de"]
    assert not fitted(root, *alike)["line_wait_cycles_fitted"]


def test_what_cannot_be_used_is_refused(root: Path, make_run: Runs, tmp_path: Path) -> None:
    good = make_run("good", 2.16e6, 432e3, 2.6e6)
    emulated = make_run("emulated", 2.16e6, 432e3, 2.6e6, emulated=True, clock_hz=None)
    bare = Path(make_run("bare", 2.16e6, 432e3, 2.6e6))
    (bare / "board.json").unlink()
    for runs, message in (
        ([emulated], "of an emulated board, which counts instructions"),
        ([make_run("other", 1e6, 1e5, 1e6, equal=False)], "logits are not the reference's"),
        (
            [make_run("clock", 1e6, 1e5, 1e6, clock_hz=1)],
            "another clock (got 1, expected 216000000)",
        ),
        ([make_run("old", 1e6, 1e5, 1e6, export="1")], "no measurement of this export"),
        ([str(bare)], "no measurement of this export"),
        ([str(tmp_path / "none")], "export.json: no such file"),
        ([good, make_run("chip", 1e6, 1e5, 1e6, device={"name": "x"})], "another device (got x"),
        ([make_run("fast", 2.16e6, 4e6, 3e6)], "no longer than the modelled waits alone"),
        ([make_run("slow", 1e5, 1e5, 9e6)], "cpi_scale: out of range (got 89.0, expected at most"),
    ):
        result = run([root / "tools" / "fit_time.py", *runs])
        assert result.returncode == 2
        assert message in result.stderr.splitlines()[-1]
    assert fitted(root, emulated, "--emulated")["cpi_scale"] == pytest.approx(1.0, abs=0.02)
