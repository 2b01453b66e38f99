r"""How well evaluators rank subnets: Kendall's tau with the accuracies of trainings from scratch.

    python tools/rank_correlation.py data=fashion_mnist data.root=FOLDER device=stm32f100 \
        recipe=small_images [--subnets 30] [--seeds 3] [--out FOLDER] [--json] [--markdown]

Overrides are those of supernet.train. Two sets of subnets that the device admits are ranked: one
evenly spread over all sizes, and one from a band within 20 % of the largest MACs, where size says
nothing. The truth is the accuracy on the test part after a training from scratch on the first
`--train-images` images, averaged over the seeds. An evaluator sees the same training images and
measures on the steering split, as in a search. Every training and every evaluation is recorded in
`--out` and not repeated.

Evaluators are named KIND, KIND_EPOCHS or, where the supernets are several, inherited_SAMPLING:
macs, params, inherited_uniform, inherited_sandwich, finetuned_1, scratch_2 and so on; predictor and
predictor_inherited are the presets of these names.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rank_statistics
import tool
import torch
from rank_statistics import Scores
from tool import Parser, Table

from evolve.evaluation.evaluator import Evaluator, Workbench
from evolve.evaluation.inherited import InheritedConfig
from evolve.evaluation.predictor import PredictorConfig
from evolve.evaluation.trained import FinetunedConfig, ScratchConfig, TrainedEvaluator
from evolve.subnet_search.candidate import Proposal
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.random_subnets import RandomConfig
from evolve.subnet_search.task import Search, Task
from mcuformer.data.dataset import Dataset, load
from mcuformer.errors import ConfigError
from mcuformer.run import presets
from mcuformer.run.artifact import read_json, write_json
from mcuformer.run.entry import compose
from mcuformer.run.progress import track
from mcuformer.run.threads import idle_threads
from mcuformer.seed import stream
from mcuformer.space import SpacePoint
from mcuformer.subnet import SubnetConfig
from oplib.target.target import Target
from supernet.data import pad_value
from supernet.evaluate import accuracy_percent
from supernet.model import Supernet
from supernet.recipe import Recipe
from supernet.sampling import SamplingConfig, SandwichSampling, UniformSampling
from supernet.task import SupernetSetting, network_task, seed_everything, supernet_task
from supernet.train import TrainConfig, resolve_point
from supernet.trainer import train
from supernet.vit import Vit

DRAWS = 4000  # sampled subnets from which both sets are chosen
BAND = 0.8  # least MACs in the band, as a share of the largest
KIND = "rank_correlation"
SAMPLINGS: dict[str, SamplingConfig] = {
    "uniform": UniformSampling(name="uniform"),
    "sandwich": SandwichSampling(name="sandwich"),
}
TRAINED: dict[str, type[TrainedEvaluator]] = {
    "finetuned": FinetunedConfig,
    "scratch": ScratchConfig,
}
SIZES = ("macs", "params")
PREDICTORS = ("predictor", "predictor_inherited")
DEFAULT = (
    *SIZES,
    "inherited_uniform",
    "finetuned_1",
    "scratch_1",
    "scratch_2",
    "predictor_inherited",
    "predictor",
)


@dataclass(frozen=True)
class Setting:
    """What is ranked, and on which data.

    Args:
        config: settings of the supernet's training.
        point: point whose subnets are ranked.
        target: device that admits them.
        dataset: data with the training part cut to the images that are trained on.
        epochs: length of a training from scratch.
        supernet_epochs: length of a supernet's training.
        out: folder of the records.
    """

    config: TrainConfig
    point: SpacePoint
    target: Target
    dataset: Dataset
    epochs: int
    supernet_epochs: int
    out: Path

    def recipe(self, epochs: int) -> Recipe:
        """Return the recipe of a training of the truth, or of a supernet."""
        return self.config.recipe.model_copy(update={"epochs": epochs, "warmup_epochs": 1})


def resolve(options: argparse.Namespace) -> Setting:
    """Return the setting that the options describe.

    Raises:
        ConfigError: device or point is missing.
    """
    overrides = [f"run_dir={options.out}", *options.overrides]
    config = TrainConfig.parse(compose("supernet_train", overrides, TrainConfig))
    torch.set_num_threads(config.threads or idle_threads())
    point, target = resolve_point(config), config.target
    if target is None or point is None:
        raise ConfigError("the ranking needs a device and a point", where="device, point")
    dataset = load(config.data, config.space.smallest(point).img_size)
    images = np.arange(min(options.train_images, len(dataset.train)))
    dataset = replace(dataset, train=dataset.train.take(images))
    epochs = options.epochs, options.supernet_epochs
    return Setting(config, point, target, dataset, *epochs, options.out)


def ranked_subnets(setting: Setting, count: int) -> dict[str, list[SubnetConfig]]:
    """Return the subnets of each set, as they are recorded.

    Another version's planner may admit others, but the records are of these.
    """
    path = setting.out / f"subnets_{count}.json"
    if not path.exists():
        chosen = choose_subnets(setting, count)
        content = {name: [s.dump() for s in subnets] for name, subnets in chosen.items()}
        write_json(path, KIND, content)
    return {
        name: [SubnetConfig.parse(subnet, where=str(path)) for subnet in subnets]
        for name, subnets in read_json(path, KIND).items()
    }


def choose_subnets(setting: Setting, count: int) -> dict[str, list[SubnetConfig]]:
    """Return the subnets of each set: ``range``, evenly spread over the MACs, and ``band``."""
    space, rng = setting.config.space, stream(setting.config.seed, "rank correlation")
    drawn = {s.key: s for s in (space.sample(setting.point, rng) for _ in range(DRAWS))}
    admitted = sorted(
        (s for s in drawn.values() if setting.target.admits(s)), key=lambda s: (s.macs, s.key)
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


def from_scratch(setting: Setting, subnet: SubnetConfig, seed: int) -> float:
    """Return the test accuracy of a subnet trained from scratch, in percent."""
    path = setting.out / "scratch" / f"{subnet.key}_{seed}.json"
    if not path.exists():
        dataset, recipe = setting.dataset, setting.recipe(setting.epochs)
        seed_everything(seed, "init", "scratch")
        vit = Vit(subnet, pad_value(dataset.preprocessing), recipe.drop_path_rate)
        identity = {"subnet": subnet.dump(), "start": "scratch"}
        directory = setting.out / "unfinished"
        trained_on = dataset.without_steering()
        task = network_task(vit, trained_on, recipe, seed, directory, identity)
        model = train(task, recipe.epochs, f"{subnet.macs / 1e6:.2f} M MACs").model
        accuracy = accuracy_percent(model, dataset.test, dataset.preprocessing)
        write_json(path, KIND, {"accuracy_percent": accuracy})
        shutil.rmtree(task.directory)
    return float(read_json(path, KIND)["accuracy_percent"])


def trained_supernet(setting: Setting, sampling: str, seed: int) -> Supernet:
    """Train the supernet of a seed, or load it if it is trained."""
    config = setting.config
    recipe, folder = setting.recipe(setting.supernet_epochs), setting.out / "supernets"
    how = SupernetSetting(recipe, SAMPLINGS[sampling], seed, folder, setting.target)
    task = supernet_task(config.space, setting.point, setting.dataset, how)
    return train(task, recipe.epochs, f"supernet, {sampling}, seed {seed}").model


def bench_of(
    setting: Setting, sampling: str, seed: int, folder: Path, ranked: Sequence[SubnetConfig]
) -> Workbench:
    """Return what an evaluator works with; a predictor is not fitted to what is ranked."""
    target, keys = setting.target, {subnet.key for subnet in ranked}

    def admits(subnet: SubnetConfig) -> bool:
        return subnet.key not in keys and target.admits(subnet)

    problem = Problem(setting.config.space, (setting.point,), admits, target.limit)
    return Workbench(
        dataset=setting.dataset,
        load_supernet=partial(trained_supernet, setting, sampling, seed),
        device=torch.device("cpu"),
        search=Search(RandomConfig(), problem, seed),
        directory=folder,
    )


def evaluator_called(name: str) -> tuple[Evaluator, str]:
    """Return an evaluator, and the sampling of its supernet.

    Raises:
        ConfigError: there is none of this name.
    """
    kind, _, detail = name.partition("_")
    if kind == "inherited" and detail in SAMPLINGS:
        return InheritedConfig(), detail
    if name in PREDICTORS:
        return presets.load("evaluator", name, PredictorConfig), "uniform"
    if kind in TRAINED and detail.isdecimal() and int(detail) > 0:
        preset = presets.load("evaluator", kind, TRAINED[kind])
        recipe = preset.recipe.model_copy(update={"epochs": int(detail)})
        return preset.model_copy(update={"recipe": recipe}), "uniform"
    raise ConfigError("no such evaluator", where="--evaluators", got=name)


def evaluated(
    setting: Setting, name: str, seed: int, subnets: Sequence[SubnetConfig]
) -> list[tuple[float, float]]:
    """Return (accuracy in percent, CPU seconds) of each subnet, by an evaluator with a seed."""
    evaluator, sampling = evaluator_called(name)
    folder = setting.out / "evaluations" / name / str(seed)
    paths = {subnet.key: folder / f"{subnet.key}.json" for subnet in subnets}
    if not all(path.exists() for path in paths.values()):
        bench = bench_of(setting, sampling, seed, folder, subnets)
        measure = evaluator.measure(bench)
        for number, subnet in enumerate(track(subnets, f"{name}, seed {seed}")):
            if not paths[subnet.key].exists():
                started = time.process_time()  # the machine may be busy with other work
                accuracy = measure(Task(number, Proposal(subnet), ()))
                seconds = time.process_time() - started
                record = {"accuracy_percent": accuracy.percent, "seconds": seconds}
                write_json(paths[subnet.key], KIND, record)
    records = [read_json(path, KIND) for path in paths.values()]
    return [(float(r["accuracy_percent"]), float(r["seconds"])) for r in records]


def scores_of(
    setting: Setting, name: str, seeds: int, subnets: Sequence[SubnetConfig]
) -> tuple[Scores, float]:
    """Return an evaluator's scores (seeds, subnets), and its median CPU seconds per candidate."""
    if name in SIZES:
        attribute = {"macs": "macs", "params": "num_params"}[name]
        return np.array([[float(getattr(subnet, attribute)) for subnet in subnets]]), 0.0
    rows = np.array([evaluated(setting, name, seed, subnets) for seed in range(seeds)])
    return rows[..., 0], float(np.median(rows[..., 1]))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Train and evaluate everything that is not recorded yet."""
    tool.require_at_least(2, subnets=options.subnets)
    tool.require_at_least(1, seeds=options.seeds, supernet_seeds=options.supernet_seeds)
    setting = resolve(options)
    sets = ranked_subnets(setting, options.subnets)
    every = [subnet for subnets in sets.values() for subnet in subnets]
    scores, seconds = {}, {}
    for name in options.evaluators:
        seeds = options.supernet_seeds if "inherited" in name else 1
        scores[name], seconds[name] = scores_of(setting, name, seeds, every)
    truth = np.array(
        [
            [
                from_scratch(setting, subnet, seed)
                for subnet in track(every, f"trainings from scratch, seed {seed}")
            ]
            for seed in range(options.seeds)
        ]
    )
    whole, band = (
        rank_statistics.summary(
            {name: rows[:, part] for name, rows in scores.items()}, truth[:, part], seconds
        )
        for part in (slice(len(sets["range"])), slice(len(sets["range"]), None))
    )
    default = rank_statistics.default(whole, band)
    return {**whole, "band": band, "seeds": options.seeds, "default": default}


def tables(result: dict[str, Any]) -> list[Table]:
    """Return tau over all sizes and in the band."""
    return rank_statistics.tables(result, result["band"])


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("overrides", nargs="*", help="settings of supernet.train")
    parser.add_argument("--subnets", type=int, default=30, help="subnets per set (30)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of the truth (3)")
    parser.add_argument("--train-images", type=int, default=12_000)
    parser.add_argument("--epochs", type=int, default=8, help="epochs from scratch (8)")
    parser.add_argument("--supernet-epochs", type=int, default=20)
    parser.add_argument("--supernet-seeds", type=int, default=3)
    parser.add_argument("--evaluators", nargs="+", default=DEFAULT, metavar="NAME")
    parser.add_argument("--out", type=Path, default=Path("runs/rank_correlation"))
    return tool.run(parser, measure, tables)


if __name__ == "__main__":
    raise SystemExit(main())
