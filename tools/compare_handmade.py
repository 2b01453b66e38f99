r"""A searched network against hand-made ones of the same budget, all trained equally from nothing.

    python tools/compare_handmade.py subnet=RUN/subnet.json device=stm32f100 data=fashion_mnist \
        data.root=FOLDER [recipe.epochs=20] [--seeds 3] [--images N] [--weights-bytes N] \
        [--flash-bytes N] [--sram-bytes N] [--json] [--markdown]

Settings are those of evolve.finetune. A hand-made network is a plain ViT by rule: heads of 16, or
of 8 where the width is no multiple of 16, an MLP four times as wide (DeiT), 2, 4 or 6 blocks, and
the largest width that the device and the bytes of the search's budget admit, with the tokens of the
searched one. Depths of which none fits are left out. Accuracies are those of the int8 network, by
the integer reference on the whole test part. Complete rows are not trained again.
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
from tool import Parser, Table

from evolve.evaluation.finalists import int8_accuracy_percent, integer_network
from evolve.finetune import FinetuneConfig, read_subnet
from mcuformer.data.dataset import Dataset, load
from mcuformer.device import BudgetConfig
from mcuformer.errors import BudgetError, ConfigError
from mcuformer.run.artifact import canonical_json, digest, read_json, write_json
from mcuformer.run.entry import compose
from mcuformer.run.threads import idle_threads
from mcuformer.subnet import BlockConfig, SubnetConfig
from oplib.target.target import Target
from supernet.data import pad_value
from supernet.task import network_task, seed_everything
from supernet.trainer import train
from supernet.vit import Vit

DEPTHS = (2, 4, 6)
HEAD_DIMS, MLP_RATIO, MAX_WIDTH = (16, 8), 4.0, 512
SEARCHED = "searched"
LIMITS = ("sram_bytes", "flash_bytes", "weights_bytes")  # of a budget


@dataclass(frozen=True)
class Comparison:
    """What is trained, and on which data.

    Args:
        config: settings of evolve.finetune.
        networks: the networks, by name.
        dataset: all networks learn of its training and steering part.
        target: device and budget that they are for.
        folder: where rows and checkpoints are kept.
    """

    config: FinetuneConfig
    networks: dict[str, SubnetConfig]
    dataset: Dataset
    target: Target
    folder: Path

    def row(self, name: str, seed: int) -> dict[str, Any]:
        """Return one row, read or measured."""
        path = self.folder / f"{name}_{seed}.json"
        if path.exists():
            return read_json(path, "row")
        subnet, recipe, data = self.networks[name], self.config.recipe, self.dataset
        seed_everything(seed, "init", "finetune")
        vit = Vit(subnet, pad_value(data.preprocessing), recipe.drop_path_rate)
        identity = {"subnet": subnet.dump(), "start": "scratch"}
        task = network_task(vit, data, recipe, seed, self.folder / "training", identity)
        trained = train(task, recipe.epochs, f"{name}, seed {seed}").model
        integer = integer_network(trained, data, self.target.forms)
        memory = self.target.cost(subnet).footprint
        content = {
            "network": name,
            "seed": seed,
            "int8_accuracy_percent": int8_accuracy_percent(integer, data.test),
            "sram_bytes": memory.sram_bytes,
            "flash_bytes": memory.flash_bytes,
            "macs": subnet.macs,
            "subnet": subnet.dump(),
        }
        write_json(path, "row", content)
        return content


def handmade(searched: SubnetConfig, depth: int, target: Target) -> SubnetConfig | None:
    """Return the widest plain ViT of a depth that the target admits; None if none fits."""
    for width in range(MAX_WIDTH, 0, -HEAD_DIMS[-1]):
        head_dim = next(size for size in HEAD_DIMS if width % size == 0)
        block = BlockConfig(num_heads=width // head_dim, head_dim=head_dim, mlp_ratio=MLP_RATIO)
        change = {"embed_dim": width, "blocks": (block,) * depth, "rank_ratio": 1.0}
        subnet = searched.model_copy(update=change)
        if target.admits(subnet):
            return subnet
    return None


def build(options: argparse.Namespace) -> Comparison:
    """Read the settings, the searched network and the data.

    Raises:
        BudgetError: the limits exceed the device, or the searched or no hand-made network fits.
        ConfigError: there is no device or network, or a setting is wrong.
    """
    overrides = [f"run_dir={options.out}", *options.overrides]
    config = FinetuneConfig.parse(compose("evolve_finetune", overrides, FinetuneConfig))
    if config.device is None or config.subnet is None:
        raise ConfigError("the comparison needs a device and a network", where="device, subnet")
    searched = read_subnet(config)
    budget = {key: getattr(options, key) for key in LIMITS}
    target = Target(config.device, BudgetConfig.parse(budget, where="budget"))
    if not target.admits(searched):
        raise BudgetError("the searched network exceeds the limits", where="budget")
    torch.set_num_threads(config.threads or idle_threads())
    dataset = load(config.data, searched.img_size)
    if options.images is not None:
        count = min(options.images, len(dataset.train))
        dataset = replace(dataset, train=dataset.train.take(np.arange(count)))
    networks = {SEARCHED: searched}
    plain = {f"{depth} blocks": handmade(searched, depth, target) for depth in DEPTHS}
    networks |= {name: subnet for name, subnet in plain.items() if subnet is not None}
    if len(networks) == 1:
        raise BudgetError("no plain ViT fits", where="budget", expected="room for 2 blocks of 8")
    settings = config.model_copy(update={"subnet": None}).content()  # wherever its file is
    content = [settings, target.budget.dump(), searched.dump(), dataset.train.digest]
    name = digest(canonical_json(content).encode())[:8]
    return Comparison(config, networks, dataset, target, Path(config.run_dir, name))


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Train and measure every network with every seed."""
    tool.require_at_least(2, seeds=options.seeds)  # a single seed has no spread
    comparison, rows = build(options), []
    for seed in range(options.seeds):
        for name in comparison.networks:
            rows.append(comparison.row(name, seed))
            print(rows[-1], file=sys.stderr)
    return {"rows": rows}


def tables(result: dict[str, Any]) -> list[Table]:
    """Return a row per network, with mean and spread over the seeds."""
    rows = []
    for name in dict.fromkeys(row["network"] for row in result["rows"]):
        own = [row for row in result["rows"] if row["network"] == name]
        sizes = (f"{own[0][key]:,}" for key in ("sram_bytes", "flash_bytes", "macs"))
        accuracy = tool.mean_and_spread([row["int8_accuracy_percent"] for row in own])
        rows.append((name, f"{own[0]['subnet']['embed_dim']}", accuracy, *sizes))
    return [Table(("network", "width", "int8, %", "SRAM", "flash", "MACs"), rows)]


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("overrides", nargs="*", help="settings of evolve.finetune")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, help="learn of this number of training images only")
    for key in LIMITS:
        parser.add_argument(f"--{key.replace('_', '-')}", type=int, help="default: the device's")
    parser.add_argument("--out", type=Path, default=Path("runs/compare_handmade"))
    return tool.run(parser, compare, tables)


if __name__ == "__main__":
    raise SystemExit(main())
