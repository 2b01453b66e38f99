"""The paper's tables 1 and 2 on real training: space selectors, and k, at equal training epochs.

    python tools/ablate_space.py [data=digits] [device=stm32f100] [--seeds 3] [--json]

Every row is one run of the whole chain (`python -m mcuformer`) under --out; rows of one seed share
recovery points, so that a point is trained once. A selector that trains nothing spends the same
epochs on its chosen supernet. Accuracy is that of the int8 network on the test part, which nothing
selects by. Rows that are complete are not run again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from mcuformer.errors import McuformerError
from mcuformer.run.artifact import read_json
from mcuformer.run.entry import fail

VISITS, VISIT_EPOCHS, SUPERNET_EPOCHS = 8, 10, 60
ROWS = [
    ("trend", 3),
    ("trend", 5),
    ("trend", 7),
    ("trend_paper", 5),
    ("random", None),
    ("largest", None),
    ("tinynas", None),
    ("joint", None),
]
COMMON = [
    f"space_search.visit_epochs={VISIT_EPOCHS}",
    f"space_search.max_visits={VISITS}",
    "finetune.epochs=20",
    "strategy.population=30",
    "strategy.generations=8",
    "strategy.parents=8",
    "strategy.mutants=12",
    "strategy.crossovers=12",
]


def supernet_epochs(selector: str) -> int:
    """Return the epochs of the chosen supernet that make every row's sum the same.

    A visit's epochs are part of the chosen point's training; the joint supernet's are not.
    """
    after_visit = SUPERNET_EPOCHS - VISIT_EPOCHS
    return {
        "largest": VISITS * VISIT_EPOCHS + after_visit,
        "tinynas": VISITS * VISIT_EPOCHS + after_visit,
        "joint": after_visit,
    }.get(selector, SUPERNET_EPOCHS)


def run_row(
    selector: str, k: int | None, seed: int, out: Path, overrides: list[str]
) -> dict[str, Any]:
    """Run the chain for one row and return its figures.

    Raises:
        McuformerError: the chain failed.
    """
    name = selector if k is None else f"{selector}_k{k}"
    run_dir = out / f"seed{seed}" / name
    arguments = [
        *overrides,
        *COMMON,
        f"space_search={selector}",
        f"seed={seed}",
        f"run_dir={run_dir}",
        f"points_dir={out / f'seed{seed}' / 'points'}",
        f"train.epochs={supernet_epochs(selector)}",
    ]
    if k is not None:
        arguments.append(f"space_search.k={k}")
    result = subprocess.run(
        [sys.executable, "-m", "mcuformer", *arguments], capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        last = result.stderr.strip().splitlines()[-1:] or ["no message"]
        raise McuformerError(last[0].removeprefix("error: "), where=run_dir)
    report = read_json(run_dir / "report.json", "report")
    space = read_json(run_dir / "space.json", "space")
    trained_on = supernet_epochs(selector) - space["point_epochs"]
    return {
        "selector": selector,
        "k": k,
        "seed": seed,
        "accuracy_percent": report["accuracy_percent"]["int8"],
        "sram_bytes": report["sram_bytes"]["total"],
        "flash_bytes": report["flash_bytes"]["total"],
        "epochs": space["search_epochs"] + trained_on,
        "point": space["point"],
    }


def show(rows: list[dict[str, Any]]) -> None:
    """Print mean and spread over seeds, a line a selector."""
    print(f"{'selector':16s} {'accuracy %':>16s} {'SRAM':>8s} {'flash':>8s} {'epochs':>7s}  points")
    for selector, k in ROWS:
        group = [row for row in rows if (row["selector"], row["k"]) == (selector, k)]
        if not group:
            continue
        accuracy = [row["accuracy_percent"] for row in group]
        spread = np.std(accuracy, ddof=1) if len(group) > 1 else float("nan")
        sram, flash, epochs = (
            np.mean([row[name] for row in group]) if group[0][name] is not None else float("nan")
            for name in ("sram_bytes", "flash_bytes", "epochs")
        )
        points = " ".join(
            f"r{row['point']['rank_ratio']:g}p{row['point']['patch_size']}" for row in group
        )
        label = selector if k is None else f"{selector} k={k}"
        print(
            f"{label:16s} {np.mean(accuracy):8.2f} +- {spread:4.2f} {sram:8.0f} {flash:8.0f} "
            f"{epochs:7.0f}  {points}"
        )


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", help="of the chain, for instance data=digits")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/ablate_space"))
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    arguments = parser.parse_args()
    started, rows = time.monotonic(), []
    try:
        for seed in range(arguments.seeds):
            for selector, k in ROWS:
                row = run_row(selector, k, seed, arguments.out, arguments.overrides)
                rows.append(row)
                print(f"seed {seed} {selector} k={k}: {row}", file=sys.stderr)
    except McuformerError as error:
        return fail(error, error.exit_code)
    except KeyboardInterrupt:
        return fail("interrupted; run the same command again to continue", 130)
    show(rows)
    print(f"{time.monotonic() - started:.0f} s")
    if arguments.json:
        print(json.dumps({"rows": rows}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
