r"""What sharing weights costs subnets of each size, under several rules of supernet training.

    python tools/compare_sharing.py data.root=FOLDER [--variants NAME ...] [--seeds 3]
        [--out FOLDER] [--json] [--markdown]

Overrides are those of supernet.train; data is Fashion-MNIST at rank ratio 1 and patch size 7 unless
they say otherwise. Subnets are spread evenly over the MACs of the space, no device limits them. Each
is trained from scratch on the first `--train-images` images, and each variant trains a supernet on
them. The gap is a subnet's inherited test accuracy minus that from scratch, in points. The four
smallest and the four largest are averaged; the spread is over the supernets' seeds, against the
mean of the trainings from scratch. Every training is recorded in `--out` and not repeated.
"""

from __future__ import annotations

import argparse
import shutil
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tool
import torch
from tool import Parser, Table

from mcuformer.data.dataset import Dataset, load
from mcuformer.errors import ConfigError
from mcuformer.run.artifact import read_json, write_json
from mcuformer.run.entry import compose
from mcuformer.run.threads import idle_threads
from mcuformer.seed import stream
from mcuformer.space import SpacePoint
from mcuformer.subnet import SubnetConfig
from supernet.data import pad_value
from supernet.evaluate import PreparedSplit
from supernet.recipe import Recipe
from supernet.sampling import SandwichSampling, UniformSampling
from supernet.task import SupernetSetting, network_task, seed_everything, supernet_task
from supernet.train import TrainConfig, resolve_point
from supernet.trainer import train
from supernet.vit import Vit

KIND = "compare_sharing"
DEFAULTS = (
    "data=fashion_mnist",
    "recipe=small_images",
    "recipe.warmup_epochs=1",
    "point.rank_ratio=1.0",
    "point.patch_size=7",
    "threads=1",
)
DRAWS = 4000  # sampled subnets from which the compared ones are chosen
VARIANTS: dict[str, Any] = {
    "uniform": UniformSampling(name="uniform"),
    "sandwich": SandwichSampling(name="sandwich"),
}


@dataclass(frozen=True)
class Setting:
    """What is compared, and on which data.

    Args:
        config: settings of the supernets' training.
        point: point whose subnets are compared.
        dataset: data with the training part cut to the images that are trained on.
        test: its test part, normalised.
        out: folder of the records.
    """

    config: TrainConfig
    point: SpacePoint
    dataset: Dataset
    test: PreparedSplit
    out: Path

    def recipe(self, epochs: int) -> Recipe:
        """Return the recipe of a training of so many epochs."""
        return self.config.recipe.model_copy(update={"epochs": epochs})


def resolve(options: argparse.Namespace) -> Setting:
    """Return the setting that the options describe."""
    overrides = [*DEFAULTS, f"run_dir={options.out}", *options.overrides]
    config = TrainConfig.parse(compose("supernet_train", overrides, TrainConfig))
    torch.set_num_threads(config.threads or idle_threads())
    point = resolve_point(config)
    if point is None:
        raise ConfigError("the comparison needs a point", where="joint", got="true")
    dataset = load(config.data, config.space.smallest(point).img_size)
    images = np.arange(min(options.train_images, len(dataset.train)))
    dataset = replace(dataset, train=dataset.train.take(images)).without_steering()
    test = PreparedSplit(dataset.test, dataset.preprocessing)
    return Setting(config, point, dataset, test, options.out)


def spread_subnets(setting: Setting, count: int) -> list[SubnetConfig]:
    """Return subnets that are evenly spread over the MACs, extremes included, by ascending MACs."""
    space, point = setting.config.space, setting.point
    rng = stream(setting.config.seed, "compare sharing")
    drawn = [space.sample(point, rng) for _ in range(DRAWS)]
    candidates = {s.key: s for s in (space.smallest(point), space.largest(point), *drawn)}
    ordered = sorted(candidates.values(), key=lambda subnet: (subnet.macs, subnet.key))
    macs = np.array([subnet.macs for subnet in ordered])
    wanted = np.linspace(macs[0], macs[-1], count)
    return [ordered[int(np.abs(macs - value).argmin())] for value in wanted]


def from_scratch(setting: Setting, subnet: SubnetConfig, seed: int, epochs: int) -> float:
    """Return the test accuracy of a subnet that is trained from scratch, in percent."""
    path = setting.out / "scratch" / f"{subnet.key}_{epochs}_{seed}.json"
    if not path.exists():
        dataset, recipe = setting.dataset, setting.recipe(epochs)
        seed_everything(seed, "init", "scratch")
        vit = Vit(subnet, pad_value(dataset.preprocessing), recipe.drop_path_rate)
        identity = {"subnet": subnet.dump(), "start": "scratch"}
        task = network_task(vit, dataset, recipe, seed, setting.out / "unfinished", identity)
        started = time.process_time()
        trained = train(task, epochs, f"{subnet.macs / 1e6:.2f} M MACs, seed {seed}")
        seconds = (time.process_time() - started) * epochs / trained.epochs
        accuracy = setting.test.accuracy_percent(trained.model)
        write_json(path, KIND, {"accuracy_percent": accuracy, "seconds": seconds})
        shutil.rmtree(task.directory)
    return float(read_json(path, KIND)["accuracy_percent"])


def inherited(
    setting: Setting, variant: str, seed: int, epochs: int, subnets: list[SubnetConfig]
) -> dict[str, Any]:
    """Return the test accuracies of subnets with the weights of one supernet, and its cost."""
    path = setting.out / "supernets" / f"{variant}_{epochs}_{seed}.json"
    if not path.exists():
        config, recipe = setting.config, setting.recipe(epochs)
        how = SupernetSetting(recipe, VARIANTS[variant], seed, setting.out / "unfinished")
        task = supernet_task(config.space, setting.point, setting.dataset, how)
        started = time.process_time()
        trained = train(task, epochs, f"{variant}, seed {seed}")
        seconds = (time.process_time() - started) * epochs / trained.epochs
        accuracies = {
            subnet.key: setting.test.accuracy_percent(partial(trained.model, subnet=subnet))
            for subnet in subnets
        }
        write_json(path, KIND, {"accuracy_percent": accuracies, "seconds": seconds})
        shutil.rmtree(task.directory)
    record = read_json(path, KIND)
    accuracies = [record["accuracy_percent"][subnet.key] for subnet in subnets]
    return {"accuracies": accuracies, "seconds": record["seconds"]}


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Train what is not recorded yet, and return the gaps."""
    tool.require_at_least(2, subnets=options.subnets)
    tool.require_at_least(1, seeds=options.seeds, scratch_seeds=options.scratch_seeds)
    for name in options.variants:
        if name not in VARIANTS:
            raise ConfigError("no such variant", where="--variants", got=name)
    setting = resolve(options)
    subnets = spread_subnets(setting, options.subnets)
    rows = {
        name: [
            inherited(setting, name, seed, options.supernet_epochs, subnets)
            for seed in range(options.seeds)
        ]
        for name in options.variants
    }
    scratch = [
        [from_scratch(setting, subnet, seed, options.epochs) for subnet in subnets]
        for seed in range(options.scratch_seeds)
    ]
    truth, half = np.mean(scratch, axis=0), len(subnets) // 2
    variants = {}
    for name, seeds in rows.items():
        gaps = np.array([seed["accuracies"] for seed in seeds]) - truth
        variants[name] = {
            "gaps": gaps.mean(axis=0).tolist(),
            "smallest": gaps[:, :half].mean(axis=1).tolist(),
            "largest": gaps[:, half:].mean(axis=1).tolist(),
            "seconds": [seed["seconds"] for seed in seeds],
        }
    macs = [subnet.macs for subnet in subnets]
    return {"macs": macs, "scratch": truth.tolist(), "variants": variants}


def tables(result: dict[str, Any]) -> list[Table]:
    """Return the gap of every subnet, and those of the smaller and the larger half."""
    header = ["variant", *(f"{macs / 1e6:.1f} M" for macs in result["macs"])]
    header += ["smaller half", "larger half", "CPU s"]
    rows = [("from scratch, %", *(f"{a:.2f}" for a in result["scratch"]), "", "", "")]
    for name, variant in result["variants"].items():
        halves = (tool.mean_and_spread(variant[half]) for half in ("smallest", "largest"))
        gaps = (f"{gap:+.2f}" for gap in variant["gaps"])
        rows.append((name, *gaps, *halves, f"{np.mean(variant['seconds']):.0f}"))
    return [Table(header, rows)]


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("overrides", nargs="*", help="settings of supernet.train")
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--subnets", type=int, default=8, help="compared subnets (8)")
    parser.add_argument("--seeds", type=int, default=3, help="supernets per variant (3)")
    parser.add_argument("--scratch-seeds", type=int, default=3, help="trainings per subnet (3)")
    parser.add_argument("--epochs", type=int, default=8, help="epochs from scratch (8)")
    parser.add_argument("--supernet-epochs", type=int, default=20)
    parser.add_argument("--train-images", type=int, default=12_000)
    parser.add_argument("--out", type=Path, default=Path("runs/compare_sharing"))
    return tool.run(parser, compare, tables)


if __name__ == "__main__":
    raise SystemExit(main())
