"""The demo over several seeds: accuracies with their spread, sizes, instructions and time.

    python tools/bench_demo.py [--devices stm32f100 ...] [--seeds 5] [--json] [--markdown]

Every row is one run of `python -m mcuformer +experiment=demo` under --out, measured on the test
digits, which only the report uses; runs of one seed share recovery points. Complete runs are not
repeated. Accuracies depend on the seed and, for equal seeds, on the CPU and the version of torch,
where training rounds differently. Sizes and instructions are those of the network found.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import tool
from tool import Parser, Table

ACCURACIES = {"inherited": "inherited", "float": "float", "int8": "int8 = host C = emulated"}
COSTS = (
    *("device", "seed", "arena", "static", "stack", "stack, at most", "SRAM", "weights", "code"),
    *("flash", "MACs", "instructions", "ms, modelled", "seconds"),
)


def run_row(device: str, seed: int, out: Path) -> dict[str, Any]:
    """Run the demo and return its figures.

    Raises:
        McuformerError: the chain failed.
    """
    points = out / f"seed{seed}" / "points"
    overrides = ("+experiment=demo", f"device={device}", f"seed={seed}", f"points_dir={points}")
    report = tool.run_chain(out / f"seed{seed}" / device, overrides)
    return {
        "device": device,
        "seed": seed,
        "images": report["num_images"]["int8"],
        "accuracy_percent": {name: report["accuracy_percent"][name] for name in ACCURACIES},
        "bit_exact": report["bit_exact"],
        "sram_bytes": report["sram_bytes"],
        "flash_bytes": report["flash_bytes"],
        "macs": report["macs"],
        "instructions": report["instructions"],
        "time": report["time"],
        "seconds": round(sum(report["seconds"].values()), 1),
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run every device and seed."""
    tool.require_at_least(1, seeds=options.seeds)
    rows = []
    for device in options.devices:
        for seed in range(options.seeds):
            rows.append(run_row(device, seed, options.out))
            print(rows[-1], file=sys.stderr)
    return {"rows": rows}


def tables(result: dict[str, Any]) -> list[Table]:
    """Return a table of accuracies with a row per device, and two with a row per run."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in result["rows"]:
        groups.setdefault(row["device"], []).append(row)
    means = []
    for device, rows in groups.items():
        values = ([row["accuracy_percent"][name] for row in rows] for name in ACCURACIES)
        means.append((device, *map(tool.mean_and_spread, values)))
    seeds = [
        (
            row["device"],
            str(row["seed"]),
            *(f"{row['accuracy_percent'][x]:.2f}" for x in ACCURACIES),
        )
        for row in result["rows"]
    ]
    images = result["rows"][0]["images"]
    return [
        Table(
            ("device", *ACCURACIES.values()), means, f"Accuracy in percent on {images} test images"
        ),
        Table(("device", "seed", *ACCURACIES.values()), seeds, "The same, seed by seed"),
        Table(COSTS, list(map(costs, result["rows"])), "Bytes, work per image, time of the chain"),
    ]


def costs(row: dict[str, Any]) -> tuple[str, ...]:
    """Return the cells of a run in the table of costs."""
    sram, flash, time = row["sram_bytes"], row["flash_bytes"], row.get("time")
    return (
        row["device"],
        str(row["seed"]),
        *map(_count, (sram["arena_linked"], sram["static"], sram["stack_high_water"])),
        _count(sram["stack_bound"]),
        f"{_count(sram['total'])} of {sram['budget']:,}",
        *map(_count, (flash["weights"], flash["code"])),
        f"{_count(flash['total'])} of {flash['budget']:,}",
        *map(_count, (row["macs"], row["instructions"])),
        f"{time['ms_low']:,.1f} to {time['ms_high']:,.1f}" if time else "not recorded",
        f"{row['seconds']:.0f}",
    )


def _count(value: int | None) -> str:
    return "not verified" if value is None else f"{value:,}"


def exact(row: dict[str, Any]) -> bool:
    """Return whether the host's and the emulated chip's logits were compared and are equal."""
    return row["bit_exact"]["host"] is True and row["bit_exact"]["emulated"] is True


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("--devices", nargs="+", default=["stm32f100"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/bench_demo"))
    return tool.run(
        parser, measure, tables, wrong=lambda result: not all(map(exact, result["rows"]))
    )


if __name__ == "__main__":
    raise SystemExit(main())
