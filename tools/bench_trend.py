"""Space selectors on synthetic landscapes with a known optimum.

    python tools/bench_trend.py [--seeds 100] [--visits 30] [--json] [--markdown]

A 12 x 5 grid with Q = 70 - (a |dr| + b |dP|) - 0.2 c dr dP around an interior optimum; slopes per
grid step are drawn as a from U(0.6, 1.5), b from U(1, 3) and c from U(-0.3, 0.3). Scores are
observed with normal noise of standard deviation 0.5. The selectors are those of evolve.space.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import tool
from tool import Parser, Table

from evolve.space_search.history import History, Index, Visit
from evolve.space_search.random_points import RandomConfig
from evolve.space_search.selectors import SelectorConfig
from evolve.space_search.trend import TrendConfig
from evolve.space_search.trend_paper import TrendPaperConfig
from mcuformer.seed import stream

SHAPE = (12, 5)
NOISE = 0.5
VISIT_EPOCHS = 30


class SyntheticLandscape:
    """A landscape whose true scores are known."""

    def __init__(self, seed: int) -> None:
        rng = stream(seed, "landscape")
        self.shape = SHAPE
        self.history = History()
        self.noise = stream(seed, "noise")
        peak = [int(rng.integers(1, length - 1)) for length in SHAPE]
        rows, columns = np.indices(SHAPE)
        down, right = rows - peak[0], columns - peak[1]
        a, b, c = rng.uniform(0.6, 1.5), rng.uniform(1.0, 3.0), rng.uniform(-0.3, 0.3)
        self.truth = 70 - (a * np.abs(down) + b * np.abs(right)) - 0.2 * c * down * right

    def visit(self, index: Index, rule: str, fit: dict[str, Any] | None = None) -> Visit:
        """Return a visit with the true score and noise."""
        visit = Visit(
            index=index,
            epochs=self.history.epochs(index) + VISIT_EPOCHS,
            admitted_fraction=1.0,
            accuracy_percent=None,
            score=float(self.truth[index] + self.noise.normal(0.0, NOISE)),
            sram_bytes=None,
            rule=rule,
            fit=fit,
        )
        self.history.add(visit)
        return visit

    def admitted_macs(self, index: Index) -> list[int]:
        """Synthetic points have no subnets."""
        raise NotImplementedError

    def train_jointly(self, epochs: int) -> list[Visit]:
        """Synthetic points have no supernet."""
        raise NotImplementedError

    def regret(self, index: Index) -> float:
        """Return by how much a point's true score is below the optimum."""
        return float(self.truth.max() - self.truth[index])


def measure(config: SelectorConfig, seeds: int) -> tuple[float, float]:
    """Return the mean regret of the chosen points, and the share that is the optimum."""
    regrets = []
    for seed in range(seeds):
        landscape = SyntheticLandscape(seed)
        chosen = config.select(landscape, stream(seed, "selector"))
        assert len(landscape.history) <= config.max_visits
        regrets.append(landscape.regret(chosen))
    return float(np.mean(regrets)), float(np.mean(np.array(regrets) == 0.0))


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every selector."""
    tool.require_at_least(1, seeds=options.seeds, visits=options.visits)
    common = {"visit_epochs": VISIT_EPOCHS, "max_visits": options.visits}
    trend, trend_rate = measure(TrendConfig(**common), options.seeds)
    paper, paper_rate = measure(TrendPaperConfig(**common), options.seeds)
    random, random_rate = measure(RandomConfig(**common), options.seeds)
    return {
        "seeds": options.seeds,
        "visits": options.visits,
        "mean_regret": trend,
        "random_mean_regret": random,
        "paper_mean_regret": paper,
        "optimum_rate": trend_rate,
        "random_optimum_rate": random_rate,
        "paper_optimum_rate": paper_rate,
    }


def tables(result: dict[str, Any]) -> list[Table]:
    """Return a row per selector."""
    keys = {"trend": "", "random": "random_", "trend_paper": "paper_"}
    rows = [
        (
            name,
            f"{result[f'{key}mean_regret']:.3f}",
            f"{100 * result[f'{key}optimum_rate']:.0f} %",
        )
        for name, key in keys.items()
    ]
    title = f"{result['seeds']} landscapes, {result['visits']} visits"
    return [Table(("selector", "mean regret", "optimum found"), rows, title)]


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--visits", type=int, default=30)
    return tool.run(parser, compare, tables)


if __name__ == "__main__":
    raise SystemExit(main())
