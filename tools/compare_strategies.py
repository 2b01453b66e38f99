"""Search strategies at equal numbers of different evaluations, on one supernet.

    python tools/compare_strategies.py RUN [SETTING ...] [--evaluations 200] [--seeds 5]
        [--objectives accuracy_percent,sram_bytes,flash_bytes] [--strategies NAME ...]
        [--json] [--markdown]

RUN is a run directory with a trained supernet; settings are those of evolve.search, for instance
`device=stm32f100 data=digits`. All strategies and seeds share one study, so a subnet is evaluated
once. `best accuracy` is that of the winner on the test part, which the search does not see, with
the weights whose accuracy the evaluator measures or predicts. The hypervolume is that of error,
SRAM and flash, each divided by its limit, with reference point (1, 1, 1).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import tool
from tool import Parser, Table

from evolve.search import SearchConfig, Session
from evolve.subnet_search.pareto import hypervolume
from evolve.subnet_search.task import Task
from mcuformer.errors import ConfigError
from mcuformer.run.entry import compose
from mcuformer.run.progress import track

BASELINE = "random"
STRATEGIES = (BASELINE, "evolution", "nsga2", "aging", "tinynas", "mobo")


def settings(name: str, evaluations: int) -> list[str]:
    """Return a strategy's settings for a number of evaluations, a multiple of 20."""
    generations = evaluations // 20
    evolution = [
        "population=20",
        f"generations={generations}",
        "parents=6",
        "mutants=10",
        "crossovers=8",
    ]
    return {
        "random": [f"samples={evaluations}"],
        "evolution": evolution,
        "nsga2": ["population=20", f"generations={generations}"],
        "aging": ["population=40", "sample=10", f"rounds={evaluations}"],
        "tinynas": [f"evolution.{setting}" for setting in evolution],
        "mobo": [f"rounds={evaluations}"],
    }[name]


def run_row(options: argparse.Namespace, name: str, seed: int) -> dict[str, Any]:
    """Search with one strategy and seed; return what it found."""
    overrides = [
        *options.overrides,
        f"run_dir={options.run}",
        f"study={options.run / 'compare_strategies.log'}",
        f"objectives=[{options.objectives}]",
        f"seed={seed}",
        f"strategy={name}",
        *(f"strategy.{setting}" for setting in settings(name, options.evaluations)),
    ]
    config = SearchConfig.parse(compose("evolve_search", overrides, SearchConfig))
    session = Session.open(config)
    session.study.work(session.evaluate)
    candidates = session.study.candidates()
    best = config.strategy.best(session.problem, candidates)
    test = session.bench.prepared(session.bench.dataset.test)
    network = config.evaluator.network(session.bench, Task(0, best.proposal, ()))
    limit = session.problem.limit
    shares = [
        (
            1 - candidate.accuracy_percent / 100,
            candidate.sram_bytes / limit.sram_bytes,
            candidate.flash_bytes / limit.flash_bytes,
        )
        for candidate in candidates
    ]
    return {
        "strategy": name,
        "seed": seed,
        "evaluations": len({candidate.key for candidate in candidates}),
        "best_accuracy": test.accuracy_percent(network),
        "best_steering_accuracy": best.accuracy_percent,
        "hypervolume": hypervolume(np.array(shares), np.ones(3)),
    }


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Run every strategy with every seed."""
    tool.require_at_least(20, evaluations=options.evaluations)
    tool.require_at_least(2, seeds=options.seeds)  # a single seed has no spread
    for name in options.strategies:
        if name not in STRATEGIES:
            raise ConfigError(
                "no such strategy", where="--strategies", got=name, expected=", ".join(STRATEGIES)
            )
    pairs = [(name, seed) for name in options.strategies for seed in range(options.seeds)]
    rows = [run_row(options, *pair) for pair in track(pairs, "searches")]
    return {"rows": rows}


def tables(result: dict[str, Any]) -> list[Table]:
    """Return mean and spread of every strategy, and its gain over random draws."""
    rows = []
    names = list(dict.fromkeys(row["strategy"] for row in result["rows"]))

    def values(name: str, metric: str) -> np.ndarray:
        return np.array([row[metric] for row in result["rows"] if row["strategy"] == name])

    for name in names:
        cells = []
        for metric, digits in (("best_accuracy", 2), ("hypervolume", 4)):
            found, base = values(name, metric), values(BASELINE, metric)
            pooled = np.sqrt((found.var(ddof=1) + base.var(ddof=1)) / 2)
            gain = f"{found.mean() - base.mean():+.{digits}f} (spread {pooled:.{digits}f})"
            cells += [tool.mean_and_spread(list(found), digits), "" if name == BASELINE else gain]
        evaluations = {row["evaluations"] for row in result["rows"] if row["strategy"] == name}
        rows.append((name, "/".join(map(str, sorted(evaluations))), *cells))
    header = ("strategy", "evaluations", "best accuracy, %", "gain", "hypervolume", "gain")
    return [Table(header, rows)]


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("run", type=Path, help="run directory with a trained supernet")
    parser.add_argument("overrides", nargs="*", help="settings of evolve.search")
    parser.add_argument("--evaluations", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--objectives", default="accuracy_percent", help="comma-separated")
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES), metavar="NAME")
    return tool.run(parser, compare, tables)


if __name__ == "__main__":
    raise SystemExit(main())
