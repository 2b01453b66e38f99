r"""What sharing weights costs subnets of each size, by the sampling of the supernet's training.

    python tools/compare_sharing.py data.root=FOLDER [--samplings NAME[@EPOCHS] ...] [--seeds 3]
        [--out FOLDER] [--json] [--markdown]

Overrides are those of supernet.train; data is Fashion-MNIST at rank ratio 1 and patch size 7 unless
they say otherwise. The subnets are spread evenly over the MACs of the space; no device limits them.
Each is trained from scratch on the first `--train-images` images, and each sampling trains a
supernet on the same for `--supernet-epochs`, or for as many epochs as its name says. A subnet's gap
is its inherited test accuracy minus the one from scratch, in points. The spread is over the
supernets' seeds, against the mean of the trainings from scratch. Every training is recorded in
`--out` and not repeated.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tool
import torch
from tool import Parser, Table
from trainings import first_images, recorded, trained

from mcuformer.data.dataset import Dataset, load
from mcuformer.errors import ConfigError
from mcuformer.run.entry import compose
from mcuformer.run.threads import idle_threads
from mcuformer.seed import stream
from mcuformer.space import SpacePoint
from mcuformer.subnet import SubnetConfig
from supernet.data import pad_value
from supernet.evaluate import PreparedSplit
from supernet.recipe import Recipe
from supernet.sampling import SamplingConfig, SandwichSampling, UniformSampling
from supernet.task import SupernetSetting, network_task, seed_everything, supernet_task
from supernet.train import TrainConfig, resolve_point
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
SAMPLINGS: dict[str, SamplingConfig] = {
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
    whole = load(config.data, config.space.smallest(point).img_size)
    dataset = first_images(whole, options.train_images)
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

    def measure() -> dict[str, Any]:
        dataset, recipe = setting.dataset, setting.recipe(epochs)
        seed_everything(seed, "init", "scratch")
        vit = Vit(subnet, pad_value(dataset.preprocessing), recipe.drop_path_rate)
        identity = {"subnet": subnet.dump(), "start": "scratch"}
        task = network_task(vit, dataset, recipe, seed, setting.out / "unfinished", identity)
        model, seconds = trained(task, f"{subnet.macs / 1e6:.2f} M MACs, seed {seed}")
        return {"accuracy_percent": setting.test.accuracy_percent(model), "seconds": seconds}

    path = setting.out / "scratch" / f"{subnet.key}_{epochs}_{seed}.json"
    return float(recorded(path, KIND, measure)["accuracy_percent"])


def inherited(
    setting: Setting, sampling: str, epochs: int, seed: int, subnets: list[SubnetConfig]
) -> dict[str, Any]:
    """Return the test accuracies of subnets with the weights of one supernet, and its cost."""

    def measure() -> dict[str, Any]:
        config, recipe = setting.config, setting.recipe(epochs)
        how = SupernetSetting(recipe, SAMPLINGS[sampling], seed, setting.out / "unfinished")
        task = supernet_task(config.space, setting.point, setting.dataset, how)
        model, seconds = trained(task, f"{sampling}, {epochs} epochs, seed {seed}")
        accuracies = {
            subnet.key: setting.test.accuracy_percent(partial(model, subnet=subnet))
            for subnet in subnets
        }
        return {"accuracy_percent": accuracies, "seconds": seconds}

    path = setting.out / "supernets" / f"{sampling}_{epochs}_{seed}.json"
    record = recorded(path, KIND, measure)
    ordered = [record["accuracy_percent"][subnet.key] for subnet in subnets]
    return {"accuracies": ordered, "seconds": record["seconds"]}


def sampling_and_epochs(name: str, epochs: int) -> tuple[str, int]:
    """Return the parts of ``NAME`` or ``NAME@EPOCHS``; `epochs` are those of a bare name."""
    sampling, _, own = name.partition("@")
    if sampling not in SAMPLINGS:
        expected = ", ".join(SAMPLINGS)
        raise ConfigError("no such sampling", where="--samplings", got=name, expected=expected)
    if own and not (own.isdecimal() and int(own)):
        raise ConfigError("not a number of epochs", where="--samplings", got=name)
    return sampling, int(own or epochs)


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Train what is not recorded yet, and return the gaps."""
    tool.require_at_least(2, subnets=options.subnets)
    tool.require_at_least(1, seeds=options.seeds, scratch_seeds=options.scratch_seeds)
    ways = {name: sampling_and_epochs(name, options.supernet_epochs) for name in options.samplings}
    setting = resolve(options)
    subnets = spread_subnets(setting, options.subnets)
    rows = {
        name: [inherited(setting, *way, seed, subnets) for seed in range(options.seeds)]
        for name, way in ways.items()
    }
    scratch = [
        [from_scratch(setting, subnet, seed, options.epochs) for subnet in subnets]
        for seed in range(options.scratch_seeds)
    ]
    truth, half = np.mean(scratch, axis=0), len(subnets) // 2
    samplings = {}
    for name, seeds in rows.items():
        gaps = np.array([seed["accuracies"] for seed in seeds]) - truth
        samplings[name] = {
            "gaps": gaps.mean(axis=0).tolist(),
            "smallest": gaps[:, :half].mean(axis=1).tolist(),
            "largest": gaps[:, half:].mean(axis=1).tolist(),
            "seconds": [seed["seconds"] for seed in seeds],
        }
    macs = [subnet.macs for subnet in subnets]
    return {"macs": macs, "scratch": truth.tolist(), "samplings": samplings}


def tables(result: dict[str, Any]) -> list[Table]:
    """Return the gap of every subnet, and those of the smaller and the larger half."""
    header = ["sampling", *(f"{macs / 1e6:.1f} M" for macs in result["macs"])]
    header += ["smaller half", "larger half", "CPU s"]
    rows = [("from scratch, %", *(f"{a:.2f}" for a in result["scratch"]), "", "", "")]
    for name, values in result["samplings"].items():
        halves = (tool.mean_and_spread(values[half]) for half in ("smallest", "largest"))
        gaps = (f"{gap:+.2f}" for gap in values["gaps"])
        rows.append((name, *gaps, *halves, f"{np.mean(values['seconds']):.0f}"))
    return [Table(header, rows)]


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("overrides", nargs="*", help="settings of supernet.train")
    parser.add_argument("--samplings", nargs="+", default=list(SAMPLINGS), metavar="NAME")
    parser.add_argument("--subnets", type=int, default=8, help="compared subnets (8)")
    parser.add_argument("--seeds", type=int, default=3, help="supernets per sampling (3)")
    parser.add_argument("--scratch-seeds", type=int, default=3, help="trainings per subnet (3)")
    parser.add_argument("--epochs", type=int, default=8, help="epochs from scratch (8)")
    parser.add_argument("--supernet-epochs", type=int, default=20)
    parser.add_argument("--train-images", type=int, default=12_000)
    parser.add_argument("--out", type=Path, default=Path("runs/compare_sharing"))
    return tool.run(parser, compare, tables)


if __name__ == "__main__":
    raise SystemExit(main())
