r"""How well evaluators rank subnets: Kendall's tau with the accuracies of trainings from scratch.

    python tools/rank_correlation.py data=fashion_mnist data.root=FOLDER device=stm32f100 \
        recipe=small_images [--subnets 30] [--seeds 3] [--out FOLDER] [--json] [--markdown]

Overrides are those of supernet.train. Two sets of subnets that the device admits are ranked: one
evenly spread over all sizes, and one from a band within 20 % of the largest MACs, where size says
nothing. The truth is the accuracy on the test part after a training from scratch on the first
`--train-images` images, averaged over the seeds. Every training and every evaluation is recorded in
`--out` and not repeated.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tool
import torch
from tool import Parser

from mcuformer.data.dataset import Dataset, load
from mcuformer.errors import ConfigError
from mcuformer.run.artifact import read_json, write_json
from mcuformer.run.entry import compose
from mcuformer.run.progress import track
from mcuformer.run.threads import idle_threads
from mcuformer.seed import stream
from mcuformer.subnet import SubnetConfig
from supernet.data import pad_value
from supernet.evaluate import accuracy_percent
from supernet.recipe import Recipe
from supernet.task import network_task, seed_everything
from supernet.train import TrainConfig, resolve_point
from supernet.trainer import train
from supernet.vit import Vit

DRAWS = 4000  # sampled subnets from which both sets are chosen
BAND = 0.8  # least MACs in the band, as a share of the largest
KIND = "rank_correlation"


@dataclass(frozen=True)
class Setting:
    """What is ranked, and on which data.

    Args:
        config: settings of the supernet's training.
        dataset: data with the training part cut to the images that are trained on.
        epochs: length of a training from scratch.
        out: folder of the records.
    """

    config: TrainConfig
    dataset: Dataset
    epochs: int
    out: Path

    @property
    def recipe(self) -> Recipe:
        """The recipe of a training from scratch."""
        return self.config.recipe.model_copy(update={"epochs": self.epochs, "warmup_epochs": 1})


def choose_subnets(config: TrainConfig, count: int) -> dict[str, list[SubnetConfig]]:
    """Return the subnets of each set: ``range``, evenly spread over the MACs, and ``band``."""
    point = resolve_point(config)
    if config.target is None or point is None:
        raise ConfigError("the ranking needs a device and a point", where="device, point")
    rng = stream(config.seed, "rank correlation")
    drawn = {s.key: s for s in (config.space.sample(point, rng) for _ in range(DRAWS))}
    admitted = sorted(
        (s for s in drawn.values() if config.target.admits(s)), key=lambda s: (s.macs, s.key)
    )
    macs = np.array([subnet.macs for subnet in admitted])
    wanted = np.linspace(macs[0], macs[-1], count)
    spread = sorted({int(np.abs(macs - value).argmin()) for value in wanted})
    band = [index for index in np.flatnonzero(macs >= BAND * macs[-1]) if index not in spread]
    picked = sorted(rng.permutation(band)[:count])
    if len(picked) < count:
        raise ConfigError("too few subnets in the band", where="--subnets", got=count)
    return {
        "range": [admitted[index] for index in spread],
        "band": [admitted[index] for index in picked],
    }


def recorded(path: Path) -> dict[str, Any] | None:
    """Return a record, or None if it is not there yet."""
    return read_json(path, KIND) if path.exists() else None


def from_scratch(setting: Setting, subnet: SubnetConfig, seed: int) -> float:
    """Return the test accuracy of a subnet trained from scratch, in percent."""
    path = setting.out / "scratch" / f"{subnet.key}_{seed}.json"
    record = recorded(path)
    if record is None:
        dataset = setting.dataset
        seed_everything(seed, "init", "scratch")
        vit = Vit(subnet, pad_value(dataset.preprocessing), setting.recipe.drop_path_rate)
        trained_on = replace(dataset, steering=dataset.steering.take(np.arange(0)))
        identity = {"subnet": subnet.dump(), "start": "scratch"}
        directory = setting.out / "unfinished"
        task = network_task(vit, trained_on, setting.recipe, seed, directory, identity)
        model = train(task, setting.recipe.epochs, f"{subnet.macs / 1e6:.2f} M MACs").model
        test, preprocessing = dataset.test, dataset.preprocessing
        record = {"accuracy_percent": accuracy_percent(model, test, preprocessing)}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, KIND, record)
        shutil.rmtree(task.directory)
    return float(record["accuracy_percent"])


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Train and evaluate everything that is not recorded yet."""
    tool.require_at_least(2, subnets=options.subnets, seeds=options.seeds)
    overrides = [f"run_dir={options.out}", *options.overrides]
    config = TrainConfig.parse(compose("supernet_train", overrides, TrainConfig))
    torch.set_num_threads(config.threads or idle_threads())
    dataset = load(config.data, config.space.points()[0].img_size or config.space.img_size[0])
    images = np.arange(min(options.train_images, len(dataset.train)))
    dataset = replace(dataset, train=dataset.train.take(images))
    setting = Setting(config, dataset, options.epochs, options.out)
    sets = choose_subnets(config, options.subnets)
    every = [subnet for subnets in sets.values() for subnet in subnets]
    truth = {}
    for seed in range(options.seeds):
        for subnet in track(every, f"trainings from scratch, seed {seed}"):
            truth[subnet.key, seed] = from_scratch(setting, subnet, seed)
    return {"truth": [[truth[s.key, seed] for seed in range(options.seeds)] for s in every]}


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("overrides", nargs="*", help="settings of supernet.train")
    parser.add_argument("--subnets", type=int, default=30, help="subnets per set (30)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of every training (3)")
    parser.add_argument("--train-images", type=int, default=12_000)
    parser.add_argument("--epochs", type=int, default=8, help="epochs from scratch (8)")
    parser.add_argument("--out", type=Path, default=Path("runs/rank_correlation"))
    return tool.run(parser, measure)


if __name__ == "__main__":
    raise SystemExit(main())
