"""Warm starts of a space search: how well short visits from a joint supernet order the points.

    python tools/compare_warm_starts.py [SETTING ...] [--cold 10] [--joint 20] [--warm 2]
        [--reference 40] [--seeds 1] [--json] [--markdown]

Settings are those of evolve.space. Every point of the space is visited three times: from nothing
for `--cold` epochs, from a joint supernet of `--joint` epochs for `--warm` more, and from nothing
for `--reference` epochs. `tau` is Kendall's, of the first two orders with the third; `regret` is
what the best point by each order lacks to the best one, in points of reference accuracy.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import tool
from scipy.stats import kendalltau
from tool import Parser, Table

from evolve.space import check
from evolve.supernet_landscape import EvolveSpaceConfig, SpaceLandscape
from mcuformer.run.entry import compose
from mcuformer.run.scratch import scratch


def accuracies(settings: list[str], epochs: int, joint: int) -> list[float]:
    """Return the accuracy of every point after one visit, in grid order."""
    more = [f"space_search.visit_epochs={epochs}", f"warm_start_epochs={joint}"]
    config = EvolveSpaceConfig.parse(compose("evolve_space", [*settings, *more], EvolveSpaceConfig))
    landscape = SpaceLandscape(config, check(config))
    visits = [landscape.visit(index, "all") for index in np.ndindex(*landscape.shape)]
    return [visit.accuracy_percent or 0.0 for visit in visits]


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Visit every point in each way, with each seed."""
    tool.require_at_least(
        1,
        cold=options.cold,
        joint=options.joint,
        warm=options.warm,
        reference=options.reference,
        seeds=options.seeds,
    )
    ways = {"cold": (options.cold, 0), "warm": (options.warm, options.joint)}
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    points = 0
    for seed in range(options.seeds):
        with scratch("warm") as folder:
            settings = [*options.settings, f"seed={seed}", f"run_dir={folder}"]
            found = {name: accuracies(settings, *way) for name, way in ways.items()}
            reference = accuracies(settings, options.reference, 0)
        points = len(reference)
        for name, scores in found.items():
            regret = max(reference) - reference[int(np.argmax(scores))]
            rows[name].append((float(kendalltau(scores, reference).statistic), regret))
    return {
        "points": points,
        "seeds": options.seeds,
        "reference_epochs": options.reference,
        "ways": {
            name: {
                "epochs": points * ways[name][0] + ways[name][1],
                "tau": [row[0] for row in values],
                "regret": [row[1] for row in values],
            }
            for name, values in rows.items()
        },
    }


def tables(result: dict[str, Any]) -> list[Table]:
    """Return a row per way: mean over the seeds."""
    rows = [
        (
            name,
            str(way["epochs"]),
            f"{np.mean(way['tau']):.2f}",
            f"{np.mean(way['regret']):.2f}",
        )
        for name, way in result["ways"].items()
    ]
    return [Table(("start", "epochs", "tau", "regret"), rows)]


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("settings", nargs="*", metavar="SETTING", help="KEY=VALUE of evolve.space")
    parser.add_argument("--cold", type=int, default=10, help="epochs of a visit from nothing")
    parser.add_argument("--joint", type=int, default=20, help="epochs of the joint supernet")
    parser.add_argument("--warm", type=int, default=2, help="epochs of a visit from it")
    parser.add_argument("--reference", type=int, default=40, help="epochs of the true order")
    parser.add_argument("--seeds", type=int, default=1)
    return tool.run(parser, compare, tables)


if __name__ == "__main__":
    raise SystemExit(main())
