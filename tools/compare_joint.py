r"""One joint supernet over all axes against a supernet for every space point.

    python tools/compare_joint.py data=digits device=stm32f100 [SETTING ...] [--share 0.25]
        [--seeds 3] [--ways NAME ...] [--json] [--markdown]
    python tools/compare_joint.py data=fashion_mnist data.root=FOLDER device=stm32f100 \
        recipe@train=small_images train.epochs=3 train.warmup_epochs=1 --images 12000

Settings are those of the chain. `per_point` trains the supernet of every point for `train.epochs`,
searches each of them with `strategy` and takes the best of all. `joint` trains one supernet for at
most `--share` of these epochs in sum and searches all its points at once, with one search of the
same strategy. `per_layer` does so where every low-rank layer has a rank ratio of its own. The
winners are fine-tuned alike. Accuracies are those on the whole test part, of the integers by the
integer reference. `CPU s` are those of trainings and searches. Complete rows and supernets are not
trained again, so that the seconds of a row that was interrupted are too few.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tool
import torch
from tool import Parser, Table

from evolve.evaluation.finalists import int8_accuracy_percent, integer_network
from evolve.subnet_search.candidate import Candidate
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.task import Search
from mcuformer.chain import ChainConfig
from mcuformer.data.dataset import Dataset, load
from mcuformer.errors import ConfigError
from mcuformer.run.artifact import canonical_json, digest, read_json, write_json
from mcuformer.run.entry import compose
from mcuformer.run.progress import Meter
from mcuformer.run.threads import idle_threads
from mcuformer.space import SearchSpace, SpacePoint
from supernet.evaluate import accuracy_percent
from supernet.extract import extract
from supernet.model import Supernet
from supernet.task import SupernetSetting, network_task, seed_everything, supernet_task
from supernet.trainer import train
from supernet.vit import Vit

PER_POINT = "per_point"
WAYS = (PER_POINT, "joint", "per_layer")


@dataclass(frozen=True)
class Winner:
    """The best candidate of a search, with its inherited weights.

    Args:
        candidate: subnet, sizes and steering accuracy.
        vit: its network.
    """

    candidate: Candidate
    vit: Vit


@dataclass(frozen=True)
class Comparison:
    """What is trained, and on which data.

    Args:
        config: settings of the chain.
        dataset: its steering part measures candidates, its test part winners.
        share: epochs of a joint supernet, as a share of those of all points.
        folder: where rows and checkpoints are kept.
    """

    config: ChainConfig
    dataset: Dataset
    share: float
    folder: Path

    def row(self, way: str, seed: int) -> dict[str, Any]:
        """Return one row, read or measured."""
        path = self.folder / f"{way}_{seed}.json"
        if path.exists():
            return read_json(path, "row")
        started = time.process_time()
        space = self.config.space.model_copy(update={"rank_per_layer": way == "per_layer"})
        points, epochs = self.config.space.points(), self.config.train.epochs
        if way == PER_POINT:
            found = [self.winner(space, (point,), epochs, seed) for point in points]
        else:
            epochs = int(self.share * epochs * len(points))
            found = [self.winner(space, space.points(), epochs, seed)]
        best = min(found, key=lambda winner: winner.candidate.rank)
        searched = time.process_time() - started
        candidate, data = best.candidate, self.dataset
        inherited = accuracy_percent(best.vit.eval(), data.test, data.preprocessing)
        tuned = self.finetuned(best.vit, seed)
        integer = integer_network(tuned, data, self.config.forms)
        content = {
            "way": way,
            "seed": seed,
            "epochs": epochs * len(found),
            "cpu_seconds": round(searched, 1),
            "steering_percent": candidate.accuracy_percent,
            "inherited_test_percent": inherited,
            "test_percent": accuracy_percent(tuned.eval(), data.test, data.preprocessing),
            "int8_test_percent": int8_accuracy_percent(integer, data.test),
            "sram_bytes": candidate.sram_bytes,
            "flash_bytes": candidate.flash_bytes,
            "macs": candidate.subnet.macs,
            "subnet": candidate.subnet.dump(),
        }
        write_json(path, "row", content)
        return content

    def winner(
        self, space: SearchSpace, points: Sequence[SpacePoint], epochs: int, seed: int
    ) -> Winner:
        """Train the supernet of one point, or of all, and search it."""
        config, target = self.config, self.config.target
        recipe = config.train.model_copy(update={"epochs": epochs})
        folder = self.folder / "points"
        setting = SupernetSetting(recipe, config.sampling, seed, folder, target)
        own = points[0] if points != space.points() else None
        name = "joint" if own is None else own.name
        task = supernet_task(space, own, self.dataset, setting)
        supernet = train(task, epochs, f"supernet {name}, seed {seed}").model.eval()
        problem = Problem(space, tuple(points), target.admits, target.limit)
        candidates = self.searched(Search(config.strategy, problem, seed), supernet, name)
        best = config.strategy.best(problem, candidates)
        return Winner(best, extract(supernet, best.subnet))

    def searched(self, search: Search, supernet: Supernet, name: str) -> list[Candidate]:
        """Return the candidates of a search with their inherited steering accuracy."""
        found: list[Candidate] = []
        data, count = self.dataset, search.strategy.evaluations
        with Meter(f"search of {name}", count) as meter:
            while len(found) < count:
                taken = frozenset(candidate.key for candidate in found)
                proposals = search.propose(len(found), found, taken)
                if not proposals:  # no other subnet is left
                    break
                for proposal in proposals:
                    cost = self.config.target.cost(proposal.subnet)
                    memory, forward = cost.footprint, partial(supernet, subnet=proposal.subnet)
                    accuracy = accuracy_percent(forward, data.steering, data.preprocessing)
                    sizes = memory.sram_bytes, memory.flash_bytes, cost.ms_high
                    found.append(Candidate(proposal, accuracy, *sizes))
                meter.update(len(found))
        return found

    def finetuned(self, vit: Vit, seed: int) -> Vit:
        """Train a winner on, as evolve.finetune does."""
        recipe, data = self.config.finetune, self.dataset
        seed_everything(seed, "init", "finetune")
        network = Vit(vit.subnet, vit.pad_value, recipe.drop_path_rate)
        network.load_state_dict(vit.state_dict())
        weights = b"".join(tensor.numpy().tobytes() for tensor in vit.state_dict().values())
        identity = {"subnet": vit.subnet.dump(), "start": digest(weights)}
        task = network_task(network, data, recipe, seed, self.folder / "training", identity)
        return train(task, recipe.epochs, f"fine-tuning, seed {seed}").model


def build(options: argparse.Namespace) -> Comparison:
    """Read the settings and the data.

    Raises:
        ConfigError: a setting is wrong, or a joint supernet cannot be trained on the space.
    """
    overrides = [f"run_dir={options.out}", *options.overrides]
    config = ChainConfig.parse(compose("mcuformer", overrides, ChainConfig))
    if len(config.space.img_size) > 1:
        raise ConfigError("a joint supernet takes one image size", where="space.img_size")
    if not 0 < options.share <= 1:
        raise ConfigError("above 0 and at most 1", where="--share", got=options.share)
    torch.set_num_threads(config.threads or idle_threads())
    dataset = load(config.data, config.space.img_size[0])
    if options.images is not None:
        count = np.arange(min(options.images, len(dataset.train)))
        steering = np.arange(min(options.images // 6, len(dataset.steering)))
        train_part, steering_part = dataset.train.take(count), dataset.steering.take(steering)
        dataset = replace(dataset, train=train_part, steering=steering_part)
    content = [config.content(), dataset.train.digest, dataset.steering.digest, options.share]
    name = digest(canonical_json(content).encode())[:8]
    return Comparison(config, dataset, options.share, Path(config.run_dir, name))


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Train, search and fine-tune in every way with every seed."""
    tool.require_at_least(2, seeds=options.seeds)  # a single seed has no spread
    for way in options.ways:
        if way not in WAYS:
            raise ConfigError("no such way", where="--ways", got=way, expected=", ".join(WAYS))
    comparison, rows = build(options), []
    for seed in range(options.seeds):
        for way in options.ways:
            rows.append(comparison.row(way, seed))
            print(rows[-1], file=sys.stderr)
    return {"rows": rows}


def tables(result: dict[str, Any]) -> list[Table]:
    """Return mean and spread of every way over the seeds, and what they differ by from the first.

    The difference is that of the int8 accuracies, seed by seed.
    """
    rows = []
    ways = list(dict.fromkeys(row["way"] for row in result["rows"]))

    def values(way: str, key: str) -> list[float]:
        return [row[key] for row in result["rows"] if row["way"] == way]

    for way in ways:
        keys = ("steering_percent", "inherited_test_percent", "test_percent", "int8_test_percent")
        cells = [tool.mean_and_spread(values(way, key)) for key in keys]
        pairs = zip(values(way, keys[-1]), values(ways[0], keys[-1]), strict=True)
        change = "" if way == ways[0] else tool.mean_and_spread([a - b for a, b in pairs])
        counts = (f"{np.mean(values(way, key)):,.0f}" for key in ("epochs", "cpu_seconds", "macs"))
        rows.append((way, *counts, *cells, change))
    header = ("way", "epochs", "CPU s", "MACs", "steering, %", "inherited, %")
    return [Table((*header, "float, %", "int8, %", "int8 difference"), rows)]


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("overrides", nargs="*", help="settings of the chain")
    parser.add_argument("--share", type=float, default=0.25, help="of the epochs of all points")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, help="train on so many images, steer by a sixth")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), metavar="NAME")
    parser.add_argument("--out", type=Path, default=Path("runs/compare_joint"))
    return tool.run(parser, compare, tables)


if __name__ == "__main__":
    raise SystemExit(main())
