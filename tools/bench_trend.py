r"""Space selectors without training: on made-up landscapes, or on measured tables.

    python tools/bench_trend.py [--table FILE ...] [--seeds 200] [--visits N ...] [--ablate]
        [--json] [--markdown]

Every selector of evolve.space that a replay can serve chooses a point, by default with visits of a
quarter and of half of the grid. Regret is how far the score of the chosen point is below the best:
of a made-up landscape (`tools/made_up_landscapes.py`) without its noise, of a table
(`tools/tabulate_space.py`) the mean over its seeds after the longest training. A seed draws the
start, and the noise or, of each point of a table, the training that is replayed. `behind` is the
mean regret minus that of the best selector, in units of their pooled standard deviation.
`--ablate` varies settings instead: tau and k of the trend, and on tables lambda, the unit of
distances and the length of a visit, at equal epochs in all. Its rows `visits of a point` have the
regret of the points that a search visited once, twice and so on (MCUFormer, figure 4).
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import tool
from made_up_landscapes import FAMILIES
from replay_landscape import MadeUpLandscape, ReplayLandscape, TableLandscape
from space_table import SpaceTable, read_table
from tool import Parser, Table

from evolve.space_search.axis_climbing import AxisClimbingConfig
from evolve.space_search.gaussian_process import GaussianProcessConfig
from evolve.space_search.hill_climbing import HillClimbingConfig
from evolve.space_search.landscape import SearchBudget
from evolve.space_search.largest import LargestConfig
from evolve.space_search.random_points import RandomConfig
from evolve.space_search.scale import Scale
from evolve.space_search.selectors import SelectorConfig
from evolve.space_search.tinynas import TinynasConfig
from evolve.space_search.trend import TrendConfig
from evolve.space_search.trend_paper import TrendPaperConfig
from mcuformer.seed import stream

VISITING: dict[str, SelectorConfig] = {
    "trend": TrendConfig(),
    "trend_paper": TrendPaperConfig(),
    "hill_climbing": HillClimbingConfig(),
    "axis_climbing": AxisClimbingConfig(),
    "gaussian_process": GaussianProcessConfig(),
    "random": RandomConfig(),
}
UNTRAINED: dict[str, SelectorConfig] = {"largest": LargestConfig(), "tinynas": TinynasConfig()}
LAMBDA = SearchBudget().lambda_rho
FITTED: dict[str, tuple[Any, ...]] = {"tau": (0.25, 0.5, 1.0, 2.0), "k": (3, 5, 7, 9)}
SCALES = get_args(Scale)
SCALED = ("trend", "gaussian_process")  # they compare distances between points
REVISITING = ("trend", "trend_paper")
LAMBDAS = (0.0, 5.0, 10.0, 20.0, 40.0)
LENGTHS = (1, 2, 4)  # visits of the table in one visit
Replay = Callable[[int], ReplayLandscape]  # from a seed


def regrets(config: SelectorConfig, replay: Replay, seeds: int) -> list[float]:
    """Return the regret of the chosen point for every seed."""
    found = []
    for seed in range(seeds):
        landscape = replay(seed)
        own = config.model_copy(update={"visit_epochs": landscape.visit_epochs})
        found.append(landscape.regret(own.select(landscape, stream(seed, "selector"))))
        assert len(landscape.history) <= own.visits(landscape.shape)
    return found


def row_of(found: Sequence[float], **names: Any) -> dict[str, Any]:
    """Return mean, standard deviation and share of optima of a selector's regrets."""
    return {
        **names,
        "mean_regret": float(np.mean(found)),
        "deviation": float(np.std(found)),
        "optimum_rate": float(np.mean(np.array(found) <= 1e-9)),
    }


def compare_on(
    name: str, replay: Replay, selectors: Mapping[str, SelectorConfig], visits: int, seeds: int
) -> list[dict[str, Any]]:
    """Return a row per selector on one landscape, with its distance to the best selector."""
    rows = []
    for selector, config in selectors.items():
        limited = config.model_copy(update={"max_visits": visits})
        found = regrets(limited, replay, seeds)
        rows.append(row_of(found, landscape=name, visits=visits, selector=selector))
    best = min(rows, key=lambda row: row["mean_regret"])
    for row in rows:
        pooled = math.sqrt((row["deviation"] ** 2 + best["deviation"] ** 2) / 2)
        behind = row["mean_regret"] - best["mean_regret"]
        row["behind"] = behind / pooled if pooled else 0.0
    return rows


def replays(tables: Mapping[str, SpaceTable]) -> dict[str, Replay]:
    """Return every landscape by its name: the tables or, without any, the made-up families."""
    if not tables:
        return {name: partial(MadeUpLandscape, name) for name in FAMILIES}
    return {
        name: partial(_replay, table, lambda_rho=LAMBDA, length=1) for name, table in tables.items()
    }


def _replay(table: SpaceTable, seed: int, *, lambda_rho: float, length: int) -> TableLandscape:
    return TableLandscape(table, seed, lambda_rho, length)


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every selector on every landscape.

    Raises:
        McuformerError: a table cannot be read or does not match its space.
    """
    tool.require_at_least(1, seeds=options.seeds)
    for visits in options.visits or ():
        tool.require_at_least(1, visits=visits)
    tables = {path.stem.removeprefix("space_table_"): read_table(path) for path in options.table}
    result: dict[str, Any] = {"seeds": options.seeds}
    if options.ablate:
        return result | {"ablation": ablate(options, tables)}
    rows = []
    for name, replay in replays(tables).items():
        selectors = VISITING | (UNTRAINED if name in tables else {})
        for visits in options.visits or _quarter_and_half(replay):
            rows += compare_on(name, replay, selectors, visits, options.seeds)
    return result | {"rows": rows}


def ablate(options: argparse.Namespace, tables: Mapping[str, SpaceTable]) -> list[dict[str, Any]]:
    """Vary one setting at a time: tau and k of the trend everywhere, the others on tables."""
    rows = []
    for name, replay in replays(tables).items():
        for visits in options.visits or _quarter_and_half(replay):
            about = {"landscape": name, "visits": visits}
            varied = [("trend", setting, values) for setting, values in FITTED.items()]
            if name in tables:
                varied += [(selector, "scale", SCALES) for selector in SCALED]
                rows += _ablate_table(tables[name], about, options.seeds)
            for selector in REVISITING:
                rows += _by_visits(replay, about, options.seeds, selector)
            for selector, setting, values in varied:
                for value in values:
                    change = {"max_visits": visits, setting: value}
                    changed = VISITING[selector].model_copy(update=change)
                    found = regrets(changed, replay, options.seeds)
                    names = {"selector": selector, "setting": setting, "value": value}
                    rows.append(row_of(found, **about, **names))
    return rows


def _by_visits(
    replay: Replay, about: Mapping[str, Any], seeds: int, selector: str
) -> list[dict[str, Any]]:
    """Return how far the points that a search visited once, twice, ... are below the best one."""
    regrets_of: dict[int, list[float]] = {}
    config = VISITING[selector].model_copy(update={"max_visits": about["visits"]})
    for seed in range(seeds):
        landscape = replay(seed)
        own = config.model_copy(update={"visit_epochs": landscape.visit_epochs})
        own.select(landscape, stream(seed, "selector"))
        for index, times in Counter(visit.index for visit in landscape.history.visits).items():
            regrets_of.setdefault(times, []).append(landscape.regret(index))
    names = {"selector": selector, "setting": "visits of a point"}
    return [row_of(regrets_of[n], **about, **names, value=n) for n in sorted(regrets_of)]


def _ablate_table(table: SpaceTable, about: Mapping[str, Any], seeds: int) -> list[dict[str, Any]]:
    """Vary lambda, whose regret is that of its own Q, and the length of a visit."""
    varied: list[tuple[str, float, float, int]] = [
        *(("lambda", weight, weight, 1) for weight in LAMBDAS),
        *(("visit length", length, LAMBDA, length) for length in LENGTHS),
    ]
    rows = []
    for setting, value, weight, length in varied:
        replay = partial(_replay, table, lambda_rho=weight, length=length)
        for selector in SCALED:
            change = {"max_visits": about["visits"] // length}
            found = regrets(VISITING[selector].model_copy(update=change), replay, seeds)
            names = {"selector": selector, "setting": setting, "value": value}
            rows.append(row_of(found, **about, **names))
    return rows


def _quarter_and_half(replay: Replay) -> tuple[int, int]:
    points = math.prod(replay(0).shape)
    return points // 4, points // 2


def tables(result: dict[str, Any]) -> list[Table]:
    """Return a table per landscape, with a row per selector or setting."""
    header: tuple[str, ...] = ("selector", "visits", "mean regret", "behind", "optimum found")
    if "ablation" in result:
        header = ("setting", "visits", "mean regret", "optimum found")
    rows = result.get("rows") or result["ablation"]
    found = []
    for name in dict.fromkeys(row["landscape"] for row in rows):
        cells = [_cells(row) for row in rows if row["landscape"] == name]
        found.append(Table(header, cells, f"{name}, {result['seeds']} seeds"))
    return found


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    regret = f"{row['mean_regret']:.3f} ± {row['deviation']:.3f}"
    optimum = f"{100 * row['optimum_rate']:.0f} %"
    if "behind" in row:
        return (row["selector"], str(row["visits"]), regret, f"{row['behind']:.2f}", optimum)
    setting = f"{row['selector']}, {row['setting']} = {row['value']}"
    return (setting, str(row["visits"]), regret, optimum)


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument(
        "--table", type=Path, nargs="+", default=[], metavar="FILE", help="replay these tables"
    )
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--visits", type=int, nargs="+", metavar="N")
    parser.add_argument("--ablate", action="store_true", help="vary the settings of selectors")
    return tool.run(parser, compare, tables)


if __name__ == "__main__":
    raise SystemExit(main())
