"""The table of oplib/plan/cycles.py: what each kind of work costs on each core, in cycles.

    python tools/fit_cycles.py [m7 m4 m3 m0plus] [--json]

Small networks of different shapes and schedules run in the emulator, tools/model_cycles.py turns
what they executed into cycles by the published pipeline rules, and least squares of the relative
errors divide these among the kinds of work. The networks determine sums better than single kinds:
each kind is drawn towards the table that is there, with a thirtieth of the weight of a network. The
deviations show how well the table tells the cycles of these networks.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import model_cycles
import numpy as np
import tool
from bench_kernels import generic_device
from bench_network import preprocessing, vit
from tool import Parser, Table

from mcuformer.device import Core
from mcuformer.errors import ConfigError
from mcuformer.run.progress import track
from mcuformer.subnet import BlockConfig, SubnetConfig
from oplib.codegen.component import Component
from oplib.forms import DEFAULT_FORMS, Forms, Passes
from oplib.network.vit import float_model, random_weights
from oplib.ops.base import Array
from oplib.ops.work import UNITS
from oplib.plan.cycles import CYCLES
from oplib.plan.schedule import schedule
from oplib.plan.time_model import work_of
from oplib.quantize.lower import quantize
from oplib.target import qemu
from oplib.target.firmware import write_firmware
from oplib.target.linker import emulated_machine

PREFIX = "cortex-"
CORES = tuple(core.removeprefix(PREFIX) for core in get_args(Core))
LAYERS = Forms(passes=Passes(stream_tokens=False))
APART = Forms(passes=Passes(stream_tokens=False, integrate_operators=False))
PULL = 1 / 30


@dataclass(frozen=True)
class Case:
    """A network to run: its shape, forms and largest arena in bytes, None for the least memory."""

    subnet: SubnetConfig
    forms: Forms = DEFAULT_FORMS
    arena_bytes: int | None = None


def block(num_heads: int, head_dim: int, mlp_ratio: float) -> BlockConfig:
    """Return a block."""
    return BlockConfig(num_heads=num_heads, head_dim=head_dim, mlp_ratio=mlp_ratio)


DIGITS = vit((8, 2, 1), 48, block(3, 16, 2.0), 3)
MANY_TOKENS = vit((16, 2, 1), 32, block(2, 16, 1.0), 2)
LOW_RANK = {"low_rank": ("qkv", "fc1", "fc2"), "rank_ratio": 0.5}
CASES = (
    Case(DIGITS),
    Case(DIGITS, arena_bytes=20_000),
    Case(DIGITS, LAYERS),
    Case(MANY_TOKENS),
    Case(MANY_TOKENS, APART),
    Case(vit((8, 4, 1), 64, block(4, 16, 4.0), 2)),
    Case(vit((8, 4, 1), 64, block(2, 32, 2.0), 3).model_copy(update=LOW_RANK), LAYERS),
    Case(vit((16, 2, 1), 64, block(1, 64, 2.0), 1)),
    Case(vit((16, 4, 3), 96, block(3, 32, 3.0), 2), arena_bytes=60_000),
    Case(vit((32, 4, 3), 64, block(2, 32, 2.0), 1)),
    Case(vit((32, 4, 3), 192, block(3, 64, 4.0), 1), arena_bytes=10**6),
    Case(vit((224, 16, 3), 192, block(3, 64, 4.0), 1), arena_bytes=10**6),
)


def run(case: Case, core: str) -> tuple[tuple[float, ...], int]:
    """Return a network's work by kind and its modelled cycles."""
    subnet, rng = case.subnet, np.random.default_rng(0)
    weights, pre = random_weights(subnet, rng), preprocessing(subnet)
    shape = (5, subnet.img_size, subnet.img_size, subnet.in_chans)
    pixels = rng.integers(0, 256, shape).astype(np.uint8)
    model = quantize(float_model(subnet, weights, pre, "random weights", case.forms), pixels[:4])
    scheduled = schedule(subnet, case.forms, case.arena_bytes)
    device = generic_device(next(name for name in get_args(Core) if name == PREFIX + core))
    classes = [str(index) for index in range(subnet.num_classes)]
    with tempfile.TemporaryDirectory(prefix="mcuformer-fit-") as name:
        folder = Path(name)
        write_firmware(folder, Component(model, scheduled, device, classes))
        elf = qemu.build(folder, folder / "build")
        (folder / "images.bin").write_bytes(pixels[4:].tobytes())
        machine = emulated_machine(device)
        sections = model_cycles.measure(elf, machine.name, core, folder)
    cycles = sum(work.cycles for work in sections[-1].values())
    return work_of(scheduled.calls, scheduled.calls.nodes).units, cycles


def fit(work: Array, cycles: Array, start: Array) -> Array:
    """Return cycles per unit (units,) that tell the cycles of networks best.

    Args:
        work: units of each network (networks, units).
        cycles: their cycles (networks,).
        start: cycles per unit that the result is drawn towards.
    """
    relative = work * start / cycles[:, None]
    pull = PULL * np.eye(len(start))
    target = np.concatenate([np.ones(len(cycles)), np.full(len(start), PULL)])
    factors = np.linalg.lstsq(np.vstack([relative, pull]), target, rcond=None)[0]
    result: Array = start * factors
    return result


def fitted(core: str) -> dict[str, Any]:
    """Run all networks on a core and return its row of the table."""
    results = [run(case, core) for case in track(CASES, core)]
    work = np.array([units for units, _ in results], dtype=np.float64)
    cycles = np.array([count for _, count in results], dtype=np.float64)
    start = np.array(next(row for name, row in CYCLES.items() if name == PREFIX + core))
    rounded = [float(f"{value:.3g}") for value in fit(work, cycles, start)]
    deviations = work @ np.array(rounded) / cycles - 1
    return {
        "core": core,
        "cycles": dict(zip(UNITS, rounded, strict=True)),
        "deviation_percent": [round(100 * float(value), 1) for value in deviations],
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Fit the cores named, or all."""
    for name in options.cores:
        if name not in CORES:
            raise ConfigError("no such core", where="CORE", got=name, expected=", ".join(CORES))
    return {"rows": [fitted(core) for core in options.cores or CORES]}


def tables(result: dict[str, Any]) -> list[Table]:
    """Return a row per core."""
    cycles, worst = [], []
    for row in result["rows"]:
        cycles.append((row["core"], *(f"{value:g}" for value in row["cycles"].values())))
        worst.append((row["core"], *(f"{value:+.1f}" for value in row["deviation_percent"])))
    numbers = tuple(str(number) for number in range(1, len(CASES) + 1))
    return [
        Table(("core", *UNITS), cycles, "Cycles for each kind of work"),
        Table(("core", *numbers), worst, "Deviation in percent, by network"),
    ]


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("cores", nargs="*", metavar="CORE", help=f"cores: {', '.join(CORES)}")
    return tool.run(parser, measure, tables)


if __name__ == "__main__":
    raise SystemExit(main())
