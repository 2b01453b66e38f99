r"""Pruned networks beside the whole one, and beside small ones that were trained from nothing.

    python tools/compare_pruning.py subnet=FILE device=stm32f405 data=fashion_mnist \
        data.root=FOLDER [--methods feedback bayesian sparse] [--share 0.55] [--seeds 3] \
        [--images 12000] [--json] [--markdown]

Other settings are those of evolve.finetune. Every network is trained from random weights for the
recipe's epochs: the whole one, the one that is pruned meanwhile, and then one of the pruned
network's shape. Accuracies are the integer reference's on the whole test part, whose logits equal
the firmware's; bytes are those of the linked firmware for the device. A row that is finished is
read from the folder of results, an interrupted training continues.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tool
import torch
from linked import linked_sizes
from tool import Parser, Table

from evolve.evaluation.finalists import int8_accuracy_percent, integer_network
from evolve.finetune import FinetuneConfig, check_subnet, read_subnet
from mcuformer.data.dataset import Dataset, load
from mcuformer.errors import ConfigError
from mcuformer.run.artifact import canonical_json, digest, read_json, write_json
from mcuformer.run.entry import compose
from mcuformer.run.threads import idle_threads
from mcuformer.subnet import SubnetConfig
from oplib.target.target import Target
from supernet.data import pad_value
from supernet.pruning.prune import count_nonzero, prune
from supernet.pruning.settings import BayesianCompression, FeedbackPruning, SparseDropout
from supernet.task import Task, network_task, seed_everything
from supernet.trainer import train
from supernet.vit import Vit

WHOLE = "none"
METHODS = ("feedback", "bayesian", "sparse")


@dataclass(frozen=True)
class Comparison:
    """What all rows have in common.

    Args:
        config: settings of evolve.finetune.
        subnet: the whole network.
        dataset: data, of whose training and steering part all networks learn.
        target: device that the firmware is linked for.
        folder: where rows and checkpoints are kept.
    """

    config: FinetuneConfig
    subnet: SubnetConfig
    dataset: Dataset
    target: Target
    folder: Path

    def task(self, subnet: SubnetConfig, seed: int) -> Task[Vit]:
        """Return the training of a network from random weights."""
        seed_everything(seed, "init", "finetune")
        recipe, preprocessing = self.config.recipe, self.dataset.preprocessing
        vit = Vit(subnet, pad_value(preprocessing), recipe.drop_path_rate)
        identity = {"subnet": subnet.dump(), "start": "scratch"}
        return network_task(vit, self.dataset, recipe, seed, self.folder / "training", identity)

    def trained(self, subnet: SubnetConfig, seed: int, description: str) -> Vit:
        """Return a network that was trained from random weights."""
        task = self.task(subnet, seed)
        return train(task, self.config.recipe.epochs, description).model

    def measured(self, vit: Vit) -> tuple[float, dict[str, int]]:
        """Return the int8 accuracy in percent on the test part, and bytes of the firmware."""
        data = self.dataset
        integer = integer_network(vit, data, self.target.forms)
        accuracy = int8_accuracy_percent(integer, data.test)
        linked = linked_sizes(integer, vit.subnet, self.target, data.class_names)
        sizes = {"weights_bytes": linked.weights, "flash_bytes": linked.flash}
        return accuracy, sizes

    def row(self, method: str, share: float | None, seed: int) -> dict[str, Any]:
        """Return one row, read or measured.

        Raises:
            ConfigError: the network cannot be pruned as asked.
        """
        path = self.folder / f"{method}_{share}_{seed}.json"
        if path.exists():
            return read_json(path, "row")
        vit = self.network(method, share, seed)
        accuracy, sizes = self.measured(vit)
        from_scratch = None
        if vit.subnet.num_params < self.subnet.num_params:
            again = self.trained(vit.subnet, seed, f"from nothing, seed {seed}")
            from_scratch = self.measured(again)[0]
        content = {
            "method": method,
            "share": share,
            "seed": seed,
            "int8_accuracy_percent": accuracy,
            **sizes,
            "from_scratch_int8": from_scratch,
            "parameters": vit.subnet.num_params,
            "nonzero_parameters": count_nonzero(vit),
            "subnet": vit.subnet.dump(),
        }
        write_json(path, "row", content)
        return content

    def network(self, method: str, share: float | None, seed: int) -> Vit:
        """Return the trained network of a row."""
        if method == WHOLE:
            return self.trained(self.subnet, seed, f"whole, seed {seed}")
        settings: FeedbackPruning | BayesianCompression | SparseDropout
        if method == "feedback":
            settings = FeedbackPruning.parse({"name": "feedback", "share": share})
        elif method == "bayesian":
            settings = BayesianCompression(name="bayesian")
        else:
            settings = SparseDropout(name="sparse")
        return prune(self.task(self.subnet, seed), settings, f"{method}, seed {seed}").model


def build(options: argparse.Namespace) -> Comparison:
    """Read the settings, the network and the data.

    Raises:
        ConfigError: there is no device, or a setting is wrong.
    """
    overrides = [f"run_dir={options.out}", *options.overrides]
    config = FinetuneConfig.parse(compose("evolve_finetune", overrides, FinetuneConfig))
    if config.device is None:
        raise ConfigError("the comparison needs a device", where="device", got="none")
    if config.subnet is None:
        raise ConfigError("the comparison needs a network", where="subnet", got="null")
    subnet = read_subnet(config)
    check_subnet(config, subnet)
    torch.set_num_threads(config.threads or idle_threads())
    crops = config.recipe.resized_crop_scale is not None
    dataset = load(config.data, subnet.img_size, crops=crops)
    if options.images is not None:
        tool.require_at_least(len(dataset.steering) + 1, images=options.images)
        count = min(options.images - len(dataset.steering), len(dataset.train))
        dataset = replace(dataset, train=dataset.train.take(np.arange(count)))
    content = [config.content(), subnet.dump(), dataset.train.digest]
    name = digest(canonical_json(content).encode())[:8]
    return Comparison(config, subnet, dataset, Target(config.device), Path(config.run_dir, name))


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Train, prune and measure for every seed."""
    tool.require_at_least(1, seeds=options.seeds)
    comparison, rows = build(options), []
    for seed in range(options.seeds):
        for method in (WHOLE, *options.methods):
            share = options.share if method == "feedback" else None
            rows.append(comparison.row(method, share, seed))
            print(rows[-1], file=sys.stderr)
    return {"rows": rows}


def tables(result: dict[str, Any]) -> list[Table]:
    """Return a row per method, with means and spreads over the seeds."""
    rows = []
    for method in dict.fromkeys(row["method"] for row in result["rows"]):
        own = [row for row in result["rows"] if row["method"] == method]
        fresh = [row["from_scratch_int8"] for row in own]
        rows.append(
            (
                method,
                tool.mean_and_spread([row["int8_accuracy_percent"] for row in own]),
                "" if None in fresh else tool.mean_and_spread(fresh),
                *(
                    f"{np.mean([row[name] for row in own]):,.0f}"
                    for name in ("weights_bytes", "flash_bytes", "nonzero_parameters")
                ),
            )
        )
    header = ("method", "int8, %", "from nothing, %", "weights", "flash", "parameters not zero")
    return [Table(header, rows)]


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("overrides", nargs="*", help="settings of evolve.finetune")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["feedback"])
    parser.add_argument("--share", type=float, default=0.55, help="pruned share, of feedback")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, help="train on this number of images only")
    parser.add_argument("--out", type=Path, default=Path("runs/compare_pruning"))
    return tool.run(parser, compare, tables)


if __name__ == "__main__":
    raise SystemExit(main())
