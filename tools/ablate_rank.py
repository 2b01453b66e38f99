r"""What low rank is worth: dense and factored networks at equal flash and equal epochs.

    python tools/ablate_rank.py data.root=FOLDER [--flash-kb 64 128] [--ratios 1 0.5 0.25]
        [--memories flash staged] [--seeds 3] [--out FOLDER] [--json] [--markdown]
    python tools/ablate_rank.py data=cifar10 data.root=FOLDER budget.sram_bytes=16384 \
        --flash-kb 128 --train-images 10000

Overrides are those of supernet.train; without others the data is Fashion-MNIST, and the SRAM limit
is 12 KB of an STM32F746, where it binds if weights are staged. One rule chooses the networks of
every ratio: of `--draws` subnets, the same widths at every ratio, the one with the most
multiply-accumulates that fits the flash and, by the memory model, the SRAM. Each seed draws anew.

`scratch` trains a network for `--epochs` epochs from random weights. `svd` trains a dense network
of the same widths for half of them, replaces its layers by their truncated singular value
decomposition, and trains on for the other half with a schedule of its own; at ratio 1 nothing is
replaced, so that only the schedule differs from `scratch`.

Accuracies are those of the integers on the test part, whose logits equal the firmware's. Flash is
the linker's. Every training is recorded in `--out` and not repeated; a network that both memory
models choose is trained once.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import paired
import tool
import torch
from linked import linked_sizes
from tool import Parser, Table
from trainings import first_images, recorded, trained

from evolve.evaluation.finalists import int8_accuracy_percent, integer_network
from mcuformer.data.dataset import Dataset, load
from mcuformer.errors import BudgetError, ConfigError
from mcuformer.run.artifact import canonical_json, digest
from mcuformer.run.entry import compose
from mcuformer.run.threads import idle_threads
from mcuformer.seed import derive, stream
from mcuformer.space import SpacePoint
from mcuformer.subnet import SubnetConfig
from oplib.target.target import Target
from supernet.data import pad_value
from supernet.evaluate import PreparedSplit
from supernet.low_rank import LowRankLinear, truncated_svd
from supernet.recipe import Recipe
from supernet.task import network_task, seed_everything
from supernet.train import TrainConfig
from supernet.vit import Vit

KIND = "ablate_rank"
DEFAULTS = (
    "data=fashion_mnist",
    "device=stm32f746",
    "budget.sram_bytes=12288",
    "recipe=small_images",
    "recipe.warmup_epochs=1",
    "space.embed_dim=[16,24,32,48,64,96,128]",
    "space.depth=[2,3,4,6,8]",
    "space.num_heads=[1,2,3,4]",
    "space.head_dim=16",
    "space.mlp_ratio=[1.0,2.0,3.0,4.0]",
    "threads=1",
)
MEMORIES, STARTS = ("flash", "staged"), ("scratch", "svd")
DENSE = 1.0
Key = tuple[str, int, float, str]  # memory model, flash limit in bytes, ratio, start


@dataclass(frozen=True)
class Setting:
    """What is compared, and on which data.

    Args:
        config: settings of supernet.train.
        dataset: data with the training part cut to the images that are trained on.
        epochs: length of every training.
        draws: number of subnets from which a network is chosen.
        out: folder of all records.
    """

    config: TrainConfig
    dataset: Dataset
    epochs: int
    draws: int
    out: Path

    @cached_property
    def folder(self) -> Path:
        """Folder of the records of this setting, named after all that they depend on."""
        config, data = self.config, self.dataset
        values = (config.space, config.recipe, config.device, config.budget, config.forms)
        content = [None if value is None else value.content() for value in values]
        numbers = [config.seed, self.epochs, self.draws]
        identity = [content, data.preprocessing.dump(), data.train.digest, numbers]
        return self.out / digest(canonical_json(identity).encode())[:8]

    @cached_property
    def test(self) -> PreparedSplit:
        """The test part, normalised."""
        return PreparedSplit(self.dataset.test, self.dataset.preprocessing)

    def target(self, memory: str, flash_limit: int) -> Target:
        """Return the device under a memory model, with a flash limit in bytes.

        Raises:
            BudgetError: the limit exceeds the device.
            ConfigError: there is no device.
        """
        if self.config.device is None:
            raise ConfigError("the comparison needs a device", where="device", got="null")
        limits = {"memory_model": memory, "flash_bytes": flash_limit}
        budget = self.config.budget.model_copy(update=limits)
        return Target(self.config.device, budget, self.config.forms)

    def recipe(self, epochs: int) -> Recipe:
        """Return the recipe of a training of so many epochs."""
        return self.config.recipe.model_copy(update={"epochs": epochs})


def resolve(options: argparse.Namespace) -> Setting:
    """Return the setting that the options describe.

    Raises:
        ConfigError: a setting is wrong.
    """
    overrides = [*DEFAULTS, f"run_dir={options.out}", *options.overrides]
    config = TrainConfig.parse(compose("supernet_train", overrides, TrainConfig))
    if config.space.rank_per_layer:
        raise ConfigError("all layers have one ratio here", where="space.rank_per_layer", got=True)
    torch.set_num_threads(config.threads or idle_threads())
    dataset = first_images(load(config.data, config.space.img_size[0]), options.train_images)
    return Setting(config, dataset, options.epochs, options.draws, options.out)


def choose(setting: Setting, memory: str, limit: int, ratio: float, seed: int) -> SubnetConfig:
    """Return the admissible subnet with the most multiply-accumulates of those that are drawn.

    Raises:
        BudgetError: none of them fits.
    """
    space, target = setting.config.space, setting.target(memory, limit)
    point = SpacePoint.parse({"rank_ratio": ratio, "patch_size": space.patch_size[-1]})
    rng = stream(derive(setting.config.seed, "ablate rank"), limit, seed)
    drawn = {s.key: s for s in (space.sample(point, rng) for _ in range(setting.draws))}
    for subnet in sorted(drawn.values(), key=lambda s: (-s.macs, s.key)):
        if target.admits(subnet):
            return subnet
    raise BudgetError(
        f"none of {len(drawn)} subnets of ratio {ratio:g} fits (memory_model {memory})",
        where="budget",
        got=f"{target.limit.sram_bytes} bytes of SRAM, {limit} of flash",
    )


def network(setting: Setting, memory: str, limit: int, ratio: float, seed: int) -> dict[str, Any]:
    """Return the network that is compared, with its sizes.

    Raises:
        BudgetError: the linker does not agree that it fits.
    """

    def measure() -> dict[str, Any]:
        subnet = choose(setting, memory, limit, ratio, seed)
        target, dataset = setting.target(memory, limit), setting.dataset
        vit = Vit(subnet, pad_value(dataset.preprocessing))
        integer = integer_network(vit, dataset, target.forms)  # no size depends on the weights
        flash = linked_sizes(integer, subnet, target, dataset.class_names).flash
        if flash > limit:
            raise BudgetError("more than planned", where="flash", got=flash, expected=limit)
        sram = target.cost(subnet).footprint.sram_bytes
        return {"subnet": subnet.dump(), "flash_bytes": flash, "sram_bytes": sram}

    name = f"{memory}_{limit}_r{ratio:g}_{seed}.json"
    return recorded(setting.folder / "networks" / name, KIND, measure)


def factored(dense: Vit, subnet: SubnetConfig) -> Vit:
    """Return a network with the weights of a dense one of the same widths.

    Its low-rank layers have the truncated singular value decomposition of the dense ones.
    """
    vit, weights = Vit(subnet, dense.pad_value), dense.state_dict()
    for name, layer in vit.named_modules():
        if isinstance(layer, LowRankLinear):
            rank, weight = len(layer.v.weight), weights.pop(f"{name}.weight")
            weights[f"{name}.v.weight"], weights[f"{name}.u.weight"] = truncated_svd(weight, rank)
            if layer.u.bias is not None:
                weights[f"{name}.u.bias"] = weights.pop(f"{name}.bias")
    vit.load_state_dict(weights)
    return vit


def fresh(setting: Setting, subnet: SubnetConfig, seed: int) -> Vit:
    """Return a network with random weights."""
    seed_everything(seed, "init", "scratch")
    return Vit(subnet, pad_value(setting.dataset.preprocessing))


def trained_on(setting: Setting, vit: Vit, epochs: int, seed: int) -> tuple[Vit, float]:
    """Return a network after some epochs more, and their CPU seconds."""
    recipe, folder = setting.recipe(epochs), setting.folder / "unfinished"
    task = network_task(vit, setting.dataset, recipe, seed, folder, {"subnet": vit.subnet.dump()})
    return trained(task, f"{vit.subnet.macs / 1e6:.2f} M MACs, rank ratio {vit.subnet.rank_ratio}")


def train_and_measure(
    setting: Setting, subnet: SubnetConfig, start: str, seed: int
) -> dict[str, Any]:
    """Train a network from one start, and return its accuracies on the test part."""
    if start == "scratch":
        vit, seconds = trained_on(setting, fresh(setting, subnet, seed), setting.epochs, seed)
    else:
        half = setting.epochs // 2
        dense = subnet.model_copy(update={"rank_ratio": DENSE})
        dense_vit, first = trained_on(setting, fresh(setting, dense, seed), half, seed)
        rest, order = setting.epochs - half, derive(seed, "second half")
        vit, second = trained_on(setting, factored(dense_vit, subnet), rest, order)
        seconds = first + second
    integer = integer_network(vit, setting.dataset, setting.config.forms)
    return {
        "accuracy": int8_accuracy_percent(integer, setting.dataset.test),
        "float_accuracy": setting.test.accuracy_percent(vit),
        "seconds": seconds,
    }


def measured_row(setting: Setting, key: Key, seed: int) -> dict[str, Any]:
    """Return one row, read or measured."""
    memory, limit, ratio, start = key
    chosen = network(setting, memory, limit, ratio, seed)
    subnet = SubnetConfig.parse(chosen["subnet"], where="subnet")
    # limits differ in all that is random, so that their differences are independent
    own = derive(setting.config.seed, "training", limit, seed)
    path = setting.folder / "trainings" / f"{subnet.key}_{start}_{limit}_{seed}.json"
    record = recorded(path, KIND, partial(train_and_measure, setting, subnet, start, own))
    return {
        "data": setting.config.data.name,
        "memory": memory,
        "flash_limit": limit,
        "ratio": ratio,
        "start": start,
        "seed": seed,
        "accuracy": record["accuracy"],
        "float_accuracy": record["float_accuracy"],
        "seconds": record["seconds"],
        "flash_bytes": chosen["flash_bytes"],
        "sram_bytes": chosen["sram_bytes"],
        "macs": subnet.macs,
        "embed_dim": subnet.embed_dim,
        "depth": subnet.depth,
    }


def baselines(ratio: float, start: str) -> list[tuple[float, str]]:
    """Return the other ratios and starts that a ratio and a start are compared with."""
    places = dict.fromkeys([(DENSE, "scratch"), (DENSE, start), (ratio, "scratch")])
    return [place for place in places if place != (ratio, start)]


def differences(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield paired differences of int8 accuracies, in points, for each limit and for all of them.

    Args:
        rows: rows of one data set.
    """
    accuracies: dict[Key, list[float]] = {}
    for row in rows:
        key = row["memory"], row["flash_limit"], row["ratio"], row["start"]
        accuracies.setdefault(key, []).append(row["accuracy"])
    limits = list(dict.fromkeys(key[1] for key in accuracies))
    pooled = [(limit, [limit]) for limit in limits] + ([(None, limits)] if len(limits) > 1 else [])
    for memory, ratio, start in dict.fromkeys((key[0], *key[2:]) for key in accuracies):
        for place in baselines(ratio, start):
            for limit, members in pooled:
                pairs = [
                    np.subtract(accuracies[memory, m, ratio, start], accuracies[memory, m, *place])
                    for m in members
                ]
                labels = {"memory": memory, "flash_limit": limit, "ratio": ratio, "start": start}
                over = {"over_ratio": place[0], "over_start": place[1]}
                yield {**labels, **over, **paired.interval(pairs)}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Train what is not recorded yet; return the rows and their differences."""
    tool.require_at_least(1, seeds=options.seeds, draws=options.draws)
    setting = resolve(options)
    tool.require_at_least(2 * (setting.config.recipe.warmup_epochs + 1), epochs=options.epochs)
    if DENSE not in options.ratios:
        raise ConfigError("1 is what the others are compared with", where="--ratios")
    limits = [1024 * size for size in options.flash_kb]
    # the networks first: a limit that nothing fits is refused before anything is trained
    for places in product(options.memories, limits, options.ratios, range(options.seeds)):
        network(setting, *places)
    keys = list(product(options.memories, limits, options.ratios, STARTS))
    rows = [measured_row(setting, key, seed) for seed in range(options.seeds) for key in keys]
    return {"rows": rows, "differences": list(differences(rows))}


def tables(result: Mapping[str, Any]) -> list[Table]:
    """Return the networks with their accuracies, and the differences over all flash limits."""
    return [network_table(result["rows"]), difference_table(result["differences"])]


def network_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Return a row per memory model, flash limit and ratio, with means over the seeds."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["memory"], row["flash_limit"], row["ratio"]), []).append(row)
    cells = []
    for (memory, limit, ratio), own in groups.items():
        by_start = [[row for row in own if row["start"] == start] for start in STARTS]
        means = [tool.mean_and_spread([row["accuracy"] for row in part]) for part in by_start]
        sizes = (f"{np.mean([row[n] for row in own]):,.0f}" for n in ("flash_bytes", "sram_bytes"))
        macs = f"{np.mean([row['macs'] for row in own]) / 1e6:.2f}"
        shapes = ", ".join(f"{row['embed_dim']} x {row['depth']}" for row in by_start[0])
        cells.append((memory, f"{limit:,}", f"{ratio:g}", *means, *sizes, macs, shapes))
    header = ("memory", "flash limit", "ratio", *(f"{start}, %" for start in STARTS))
    header += ("flash", "SRAM", "M MACs", "width x depth of each seed's")
    return Table(header, cells, f"{rows[0]['data']}, int8 accuracy")


def difference_table(differences: Sequence[dict[str, Any]]) -> Table:
    """Return the differences over all flash limits; with one limit, those of this one."""
    pooled = [row for row in differences if row["flash_limit"] is None]
    cells = [
        (
            row["memory"],
            f"{row['ratio']:g}, {row['start']}",
            f"{row['over_ratio']:g}, {row['over_start']}",
            paired.text(row),
        )
        for row in pooled or differences
    ]
    header = ("memory", "ratio and start", "minus", "difference")
    return Table(header, cells, "Paired differences in points, 95 % intervals", words=3)


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("overrides", nargs="*", help="settings of supernet.train")
    parser.add_argument("--flash-kb", nargs="+", type=int, default=[64, 128], metavar="KB")
    parser.add_argument("--ratios", nargs="+", type=float, default=[1.0, 0.5, 0.25])
    parser.add_argument("--memories", nargs="+", choices=MEMORIES, default=list(MEMORIES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8, help="epochs of every training (8)")
    parser.add_argument("--train-images", type=int, default=12_000)
    parser.add_argument("--draws", type=int, default=1000, help="subnets to choose from (1000)")
    parser.add_argument("--out", type=Path, default=Path("runs/ablate_rank"))
    return tool.run(parser, measure, tables)


if __name__ == "__main__":
    raise SystemExit(main())
