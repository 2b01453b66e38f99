"""Correct a device's model of time by what boards measured.

    python tools/fit_time.py RUN [RUN ...] [--emulated] [--json]

Each run was exported for the same device and has a board.json of `python -m oplib.serve`. Least
squares of the relative errors give two factors: on the cycles of the core (cpi_scale in the device
file) and on the waits for the memory of the weights (line_wait_cycles). One run, or several with
the same share of waits, tell only the first. The deviations are those of the corrected upper end of
the interval, where the core waits for every line.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np
import tool
from scipy.optimize import nnls
from tool import Parser, Table

from mcuformer.cost import ModelledTime
from mcuformer.device import Device
from mcuformer.errors import ArtifactError, ConfigError
from mcuformer.run.artifact import RunDir, parsing, read_json
from oplib.ops.base import Array
from oplib.target.board_record import RECORD, current_record

APART = 0.05  # least spread of the waits' shares by which both factors are told apart


@dataclass(frozen=True)
class Measured:
    """A run's modelled and measured time.

    Args:
        run: its directory.
        device: the device of the export.
        core: modelled cycles of the core.
        waits: modelled cycles of waiting.
        cycles: cycles that the board took, the median of its images.
    """

    run: str
    device: Device
    core: float
    waits: float
    cycles: float


def read(run_dir: str, *, emulated: bool) -> Measured:
    """Read a run.

    Args:
        run_dir: its directory.
        emulated: whether counts of instructions may stand for cycles.

    Raises:
        ArtifactError: the run lacks a time by model or board, or its board computed other logits.
    """
    run = RunDir(run_dir)
    path = run.file("export.json")
    content = read_json(path, "export")
    with parsing(path):
        device = Device.parse(content["device"], where=f"{path}: device")
        time = None if content["time"] is None else ModelledTime.parse(content["time"])
    if time is None:
        raise ArtifactError("the time is not modelled", where=path)
    record, where = current_record(run), run.file(RECORD)
    if record is None:
        raise ArtifactError("no measurement of this export; run oplib.serve", where=where)
    if record.emulated and not emulated:
        raise ArtifactError("of an emulated board, which counts instructions", where=where)
    if not record.equal:
        raise ArtifactError("the board's logits are not the reference's", where=where)
    if record.clock_hz not in (None, device.clock_hz):
        raise ArtifactError(
            "measured at another clock", where=where, got=record.clock_hz, expected=device.clock_hz
        )
    waits = time.ms_memory * device.clock_hz / 1e3
    return Measured(run_dir, device, time.cycles_modelled, waits, record.cycles.median)


def fit(core: Array, waits: Array, cycles: Array) -> tuple[float, float | None]:
    """Return the factors on the cycles of the core and on the waits that tell the cycles best.

    Args:
        core: modelled cycles of the core (runs,).
        waits: modelled cycles of waiting (runs,).
        cycles: measured cycles (runs,).

    Returns:
        Both factors; the second is None, and counts as 1, where the runs do not tell it.
    """
    shares = waits / (core + waits)
    if np.ptp(shares) < APART:
        # minimise sum((factor * core + waits - cycles)^2 / cycles^2)
        relative = core / cycles
        return float(relative @ (1 - waits / cycles) / (relative @ relative)), None
    factors, _ = nnls(np.stack([core / cycles, waits / cycles], axis=1), np.ones(len(cycles)))
    return float(factors[0]), float(factors[1])


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Fit the runs that are named.

    Raises:
        ArtifactError: a run cannot be used.
        ConfigError: the runs are of several devices, or no factor is possible.
    """
    rows = [read(name, emulated=options.emulated) for name in options.runs]
    device = rows[0].device
    for row in rows:
        if row.device != device:
            raise ConfigError(
                "another device", where=row.run, got=row.device.name, expected=device.name
            )
    core, waits, cycles = (
        np.array([getattr(row, name) for row in rows]) for name in ("core", "waits", "cycles")
    )
    core_factor, waits_factor = fit(core, waits, cycles)
    if core_factor <= 0:
        raise ConfigError("the boards took no longer than the modelled waits alone", where="RUN")
    corrected = {**device.dump(), "cpi_scale": _rounded(device.cpi_scale * core_factor)}
    cpi_scale = Device.parse(corrected, where=device.name).cpi_scale
    told = core_factor * core + (1.0 if waits_factor is None else waits_factor) * waits
    region = device.region(device.flash_regions[-1])
    wait_cycles = region.line_wait_cycles
    if waits_factor is not None and wait_cycles is not None:
        wait_cycles = _rounded(wait_cycles * waits_factor)
    return {
        "device": device.name,
        "cpi_scale": cpi_scale,
        "region": region.name,
        "line_wait_cycles": wait_cycles,
        "line_wait_cycles_fitted": waits_factor is not None,
        "rows": [
            {
                "run": row.run,
                "cycles": row.cycles,
                "modelled": round(row.core + row.waits),
                "deviation_percent": round(100 * (float(value) / row.cycles - 1), 1),
            }
            for row, value in zip(rows, told, strict=True)
        ],
    }


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def tables(result: dict[str, Any]) -> list[Table]:
    """Return the runs, and the lines for the device file."""
    rows = [
        (
            row["run"],
            f"{row['cycles']:,.0f}",
            f"{row['modelled']:,}",
            f"{row['deviation_percent']:+}",
        )
        for row in result["rows"]
    ]
    lines = [("cpi_scale", f"{result['cpi_scale']:g}")]
    if result["line_wait_cycles_fitted"]:
        lines.append((f"line_wait_cycles of {result['region']}", f"{result['line_wait_cycles']:g}"))
    header = ("run", "cycles", "modelled", "deviation in percent when corrected")
    return [
        Table(header, rows, f"Boards of {result['device']}"),
        Table(("in the device file", "value"), lines, "Correction"),
    ]


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="directory of a run")
    parser.add_argument("--emulated", action="store_true", help="take instructions for cycles")
    return tool.run(parser, measure, tables)


if __name__ == "__main__":
    raise SystemExit(main())
