r"""Sampling rules of supernet training at equal compute: uniform, sandwich, budget-aware.

    python tools/compare_sampling.py data=digits device=stm32f100 [--seeds 5] [--json] [--markdown]
    python tools/compare_sampling.py data=fashion_mnist data.root=FOLDER device=stm32f746 \
        recipe.epochs=8 --train-images 20000

Overrides are those of supernet.train. `recipe.epochs` applies to uniform sampling; the other rules
train for as many epochs as need the same multiply-accumulates, forward and backward, teachers
included, and their warm-up is scaled alike. Measured are the inherited accuracies of the smallest,
median and largest subnets that fit the device, on the test part, which plays no part in any
selection. Complete supernets are not trained again.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tool
import torch
from tool import Parser, Table

from mcuformer.data.dataset import Dataset, load
from mcuformer.errors import ConfigError
from mcuformer.run.entry import compose
from mcuformer.run.threads import idle_threads
from supernet.evaluate import accuracy_percent
from supernet.sampling import (
    BudgetAwareSampling,
    Pool,
    SamplingConfig,
    SandwichSampling,
    UniformSampling,
    build_sampler,
)
from supernet.task import SupernetSetting, subnet_pool, supernet_task
from supernet.train import TrainConfig, resolve_point
from supernet.trainer import train

RULES: dict[str, SamplingConfig] = {
    "uniform": UniformSampling(name="uniform"),
    "sandwich": SandwichSampling(name="sandwich"),
    "budget_aware": BudgetAwareSampling(name="budget_aware"),
}
DEFAULTS = ["point.rank_ratio=0.5", "point.patch_size=4", "device=stm32f100"]
SIZES = ("smallest", "median", "largest")
MAC_STEPS = 400  # number of steps over which the cost of a rule is averaged


def mean_step_macs(rule: SamplingConfig, pool: Pool) -> float:
    """Return the mean multiply-accumulates of a step per image: its subnets' passes, forward."""
    sampler = build_sampler(rule, pool, MAC_STEPS)
    visits = [visit for step in range(MAC_STEPS) for visit in sampler(0, step)]
    batch = range(MAC_STEPS)
    passes = sum(visit.subnet.macs * len(batch[visit.images]) for visit in visits)
    return float(passes) / len(batch) / MAC_STEPS


def run_row(config: TrainConfig, name: str, seed: int, dataset: Dataset) -> dict[str, Any]:
    """Train a supernet by one rule and measure its subnets."""
    point = resolve_point(config)
    points_dir = Path(config.points_dir)
    setting = SupernetSetting(config.recipe, RULES[name], seed, points_dir, config.target)
    pool = subnet_pool(config.space, point, setting)
    ratio = mean_step_macs(RULES["uniform"], pool) / mean_step_macs(RULES[name], pool)
    warmup = round(config.recipe.warmup_epochs * ratio)
    epochs = max(warmup + 1, round(config.recipe.epochs * ratio))
    recipe = config.recipe.model_copy(update={"epochs": epochs, "warmup_epochs": warmup})
    task = supernet_task(config.space, point, dataset, replace(setting, recipe=recipe))
    model = train(task, epochs, f"{name}, seed {seed}").model
    fitting = replace(pool, seed=0).admitted("measured")  # the same subnets in every row
    subnets = dict(zip(SIZES, (fitting[0], fitting[len(fitting) // 2], fitting[-1]), strict=True))
    accuracies = {
        size: accuracy_percent(partial(model, subnet=subnet), dataset.test, dataset.preprocessing)
        for size, subnet in subnets.items()
    }
    return {"sampling": name, "seed": seed, **accuracies, "epochs": epochs}


def by_rule(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Return the accuracies of each rule, with a row per seed and a column per size of subnet."""
    return {
        name: np.array([[row[size] for size in SIZES] for row in rows if row["sampling"] == name])
        for name in RULES
    }


def median_gain(accuracies: dict[str, np.ndarray], name: str) -> tuple[float, float]:
    """Return a rule's gain over uniform sampling on the median subnet, and the pooled spread."""
    uniform, other = accuracies["uniform"][:, 1], accuracies[name][:, 1]
    pooled = np.sqrt((uniform.var(ddof=1) + other.var(ddof=1)) / 2)
    return float(other.mean() - uniform.mean()), float(pooled)


def recommended(rows: list[dict[str, Any]]) -> str:
    """Return the rule with the best median subnet among those that gain more than the spread."""
    accuracies = by_rule(rows)
    better = [name for name in RULES if np.greater(*median_gain(accuracies, name))]
    return max(better, key=lambda name: accuracies[name][:, 1].mean(), default="uniform")


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Train and measure every rule for every seed."""
    tool.require_at_least(2, seeds=options.seeds)  # a single seed has no spread
    overrides = [*DEFAULTS, f"run_dir={options.out}", *options.overrides]
    config = TrainConfig.parse(compose("supernet_train", overrides, TrainConfig))
    if config.target is None:
        raise ConfigError("the comparison needs a device", where="device", got="none")
    torch.set_num_threads(config.threads or idle_threads())
    point = resolve_point(config)
    img_size = config.space.smallest(point or config.space.points()[0]).img_size
    dataset = load(config.data, img_size, crops=config.recipe.resized_crop_scale is not None)
    if options.train_images is not None:
        first_images = np.arange(min(options.train_images, len(dataset.train)))
        dataset = replace(dataset, train=dataset.train.take(first_images))
    rows = []
    for seed in range(options.seeds):
        for name in RULES:
            rows.append(run_row(config, name, seed, dataset))
            print(rows[-1], file=sys.stderr)
    return {"rows": rows, "default": recommended(rows)}


def tables(result: dict[str, Any]) -> list[Table]:
    """Return mean and spread of every rule, and its gain on the median subnet."""
    accuracies, rows = by_rule(result["rows"]), []
    for name, values in accuracies.items():
        epochs = [row["epochs"] for row in result["rows"] if row["sampling"] == name]
        cells = (tool.mean_and_spread(column) for column in values.T)
        gain, pooled = median_gain(accuracies, name)
        change = "" if name == "uniform" else f"{gain:+.2f} (spread {pooled:.2f})"
        rows.append((name, f"{np.mean(epochs):.1f}", *cells, change))
    title = f"default by this measurement: {result['default']}"
    return [Table(("sampling", "epochs", *SIZES, "gain of the median"), rows, title)]


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument(
        "overrides", nargs="*", help="settings of supernet.train, for instance data=digits"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--train-images", type=int, help="train on this number of images only")
    parser.add_argument("--out", type=Path, default=Path("runs/compare_sampling"))
    return tool.run(parser, compare, tables)


if __name__ == "__main__":
    raise SystemExit(main())
