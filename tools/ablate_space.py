"""The paper's tables 1 and 2 on real training: space selectors, and k, at equal training epochs.

    python tools/ablate_space.py [data=digits] [device=stm32f100] [--seeds 3] [--json] [--markdown]

Every row is one run of the whole chain (`python -m mcuformer`) under --out; rows of one seed share
recovery points, so that a point is trained once. A selector that trains nothing spends the same
epochs on the supernet that it chooses. Accuracy is that of the int8 network on the test part, which
plays no part in any selection. Complete rows are not run again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tool
from tool import Parser, Table

from mcuformer.run.artifact import read_json

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
    """Return the epochs of the chosen supernet, such that every row trains equally long in total.

    Epochs of a visit count towards the training of the chosen point; those of the joint supernet do
    not.
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
        f"points_dir={out / f'seed{seed}' / 'points'}",
        f"train.epochs={supernet_epochs(selector)}",
    ]
    if k is not None:
        arguments.append(f"space_search.k={k}")
    report = tool.run_chain(run_dir, arguments)
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


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run every row for every seed."""
    tool.require_at_least(1, seeds=options.seeds)
    rows = []
    for seed in range(options.seeds):
        for selector, k in ROWS:
            rows.append(run_row(selector, k, seed, options.out, options.overrides))
            print(f"seed {seed} {selector} k={k}: {rows[-1]}", file=sys.stderr)
    return {"rows": rows}


def tables(result: dict[str, Any]) -> list[Table]:
    """Return mean and spread over the seeds, with a row per selector."""
    header = ("selector", "accuracy, %", "SRAM", "flash", "epochs", "points (rank ratio, patch)")
    rows = []
    for selector, k in ROWS:
        group = [row for row in result["rows"] if (row["selector"], row["k"]) == (selector, k)]
        points = [(row["point"]["rank_ratio"], row["point"]["patch_size"]) for row in group]
        rows.append(
            (
                selector if k is None else f"{selector}, k = {k}",
                tool.mean_and_spread([row["accuracy_percent"] for row in group]),
                *(_mean([row[name] for row in group]) for name in ("sram_bytes", "flash_bytes")),
                _mean([row["epochs"] for row in group]),
                " ".join(f"({ratio:g}, {patch})" for ratio, patch in points),
            )
        )
    return [Table(header, rows)]


def _mean(values: Sequence[float | None]) -> str:
    """Return the mean as text; sizes are None where no firmware could be linked."""
    known = [value for value in values if value is not None]
    return f"{np.mean(known):,.0f}" if len(known) == len(values) else "not verified"


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument(
        "overrides", nargs="*", help="settings of the chain, for instance data=digits"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/ablate_space"))
    return tool.run(parser, measure, tables)


if __name__ == "__main__":
    raise SystemExit(main())
