r"""Sampling rules of supernet training at equal compute: uniform, sandwich, budget-aware.

    python tools/compare_sampling.py data=digits device=stm32f100 [--seeds 5] [--json]
    python tools/compare_sampling.py data=fashion_mnist data.root=FOLDER device=stm32f746 \
        recipe.epochs=8 --train-images 20000

Overrides are those of supernet.train. `recipe.epochs` is uniform sampling's; the others train for
as many epochs as take the same multiply-accumulates, forward and backward, teachers included, with
the warm-up cut or stretched alike. Measured are the inherited accuracies of the smallest, median
and largest subnets that fit the device, on the test part, which nothing selects by. A supernet that
is trained is not trained again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mcuformer.data.dataset import Dataset, load
from mcuformer.device import Budget
from mcuformer.errors import ConfigError, McuformerError
from mcuformer.run.entry import compose, fail
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
from supernet.train import TrainConfig, admissible, budget, budget_identity, resolve_point
from supernet.trainer import train

RULES: dict[str, SamplingConfig] = {
    "uniform": UniformSampling(name="uniform"),
    "sandwich": SandwichSampling(name="sandwich"),
    "budget_aware": BudgetAwareSampling(name="budget_aware"),
}
DEFAULTS = ["point.rank_ratio=0.5", "point.patch_size=4", "device=stm32f100"]
SIZES = ("smallest", "median", "largest")
MAC_STEPS = 400  # over which a rule's cost is averaged


def mean_step_macs(rule: SamplingConfig, pool: Pool) -> float:
    """Return the mean multiply-accumulates of a step's subnets, for one image, forward."""
    sampler = build_sampler(rule, pool, MAC_STEPS)
    return float(np.mean([sum(s.macs for s in sampler(0, step)) for step in range(MAC_STEPS)]))


def run_row(
    config: TrainConfig, name: str, seed: int, dataset: Dataset, limit: Budget
) -> dict[str, Any]:
    """Train one supernet and measure it."""
    point = resolve_point(config)
    setting = SupernetSetting(
        config.recipe,
        RULES[name],
        seed,
        Path(config.points_dir),
        admissible(config, limit),
        budget_identity(config, limit),
    )
    pool = subnet_pool(config.space, point, setting)
    ratio = mean_step_macs(RULES["uniform"], pool) / mean_step_macs(RULES[name], pool)
    warmup = round(config.recipe.warmup_epochs * ratio)
    epochs = max(warmup + 1, round(config.recipe.epochs * ratio))
    recipe = config.recipe.model_copy(update={"epochs": epochs, "warmup_epochs": warmup})
    task = supernet_task(config.space, point, dataset, replace(setting, recipe=recipe))
    model = train(task, epochs, f"{name}, seed {seed}").model
    fitting = replace(pool, seed=0).admitted("measured")  # the same subnets in every row
    subnets = dict(zip(SIZES, (fitting[0], fitting[len(fitting) // 2], fitting[-1]), strict=True))
    found = {
        size: accuracy_percent(lambda x, s=s: model(x, s), dataset.test, dataset.preprocessing)
        for size, s in subnets.items()
    }
    return {"sampling": name, "seed": seed, **found, "epochs": epochs}


def show(rows: list[dict[str, Any]]) -> str:
    """Print mean and spread of every rule; return the rule that the measurement recommends."""
    print(f"{'sampling':14s} {'epochs':>7s} " + " ".join(f"{size:>16s}" for size in SIZES))
    table: dict[str, np.ndarray] = {}
    for name in RULES:
        group = [row for row in rows if row["sampling"] == name]
        table[name] = np.array([[row[size] for size in SIZES] for row in group])
        cells = " ".join(
            f"{mean:8.2f} +- {spread:4.2f}"
            for mean, spread in zip(
                table[name].mean(axis=0), table[name].std(axis=0, ddof=1), strict=True
            )
        )
        print(f"{name:14s} {np.mean([row['epochs'] for row in group]):7.1f} {cells}")
    best = "uniform"
    for name in ("sandwich", "budget_aware"):
        one, other = table["uniform"][:, 1], table[name][:, 1]
        gain = other.mean() - one.mean()
        spread = np.sqrt((one.var(ddof=1) + other.var(ddof=1)) / 2)
        verdict = "more" if gain > spread else "not more"
        print(
            f"{name}: the median gains {gain:+.2f}, {verdict} than the pooled spread {spread:.2f}"
        )
        if gain > spread and other.mean() > table[best][:, 1].mean():
            best = name
    print(f"default by this measurement: {best}")
    return best


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", help="of supernet.train, for instance data=digits")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--train-images", type=int, help="train on so many of the images alone")
    parser.add_argument("--out", type=Path, default=Path("runs/compare_sampling"))
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    arguments = parser.parse_args()
    started, rows = time.monotonic(), []
    try:
        if arguments.seeds < 2:
            raise ConfigError("a spread needs several", where="--seeds", got=arguments.seeds)
        overrides = [*DEFAULTS, f"run_dir={arguments.out}", *arguments.overrides]
        config = TrainConfig.parse(compose("supernet_train", overrides))
        limit = budget(config)
        if limit is None:
            raise ConfigError("the comparison needs a device", where="device", got="none")
        torch.set_num_threads(config.threads)
        point = resolve_point(config)
        img_size = config.space.smallest(point or config.space.points()[0]).img_size
        dataset = load(config.data, img_size)
        if arguments.train_images is not None:
            few = dataset.train.take(np.arange(min(arguments.train_images, len(dataset.train))))
            dataset = replace(dataset, train=few)
        for seed in range(arguments.seeds):
            for name in RULES:
                rows.append(run_row(config, name, seed, dataset, limit))
                print(rows[-1], file=sys.stderr)
    except McuformerError as error:
        return fail(error, error.exit_code)
    except KeyboardInterrupt:
        return fail("interrupted; run the same command again to continue", 130)
    default = show(rows)
    print(f"{time.monotonic() - started:.0f} s")
    if arguments.json:
        print(json.dumps({"rows": rows, "default": default}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
