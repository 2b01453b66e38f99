"""Cost of elasticity: supernets beside the same layers built dense at the sampled sizes.

    python tools/bench_supernet.py [--subnets 8] [--repeats 3] [--threads 2] [--json] [--markdown]

Training steps (forward, backward, clipping, optimiser) and evaluation of `autoformer_t` at 224 px,
batch 16, and of the Fashion-MNIST preset, batch 128, on random images; several sampled subnets per
preset, elastic and dense in turn, in the same order. A ratio is the time of the elastic network
over that of the dense one: medians over the repeats of a subnet, then the median over the subnets.
Both have relative positions, or neither has. The ratios and rates outside `presets` are those of
the worse preset.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import tool
import torch
from tool import Parser, Table
from torch import Tensor, nn
from torch.nn import functional

from mcuformer.run.entry import compose
from mcuformer.run.progress import track
from mcuformer.seed import stream
from mcuformer.space import SearchSpace
from mcuformer.subnet import SubnetConfig
from supernet.model import Supernet
from supernet.recipe import Recipe, build_optimizer
from supernet.task import seed_everything
from supernet.train import TrainConfig
from supernet.vit import Vit

RECIPE = Recipe(epochs=2, batch_size=1, lr=1e-4, warmup_epochs=0)
COUNTED = 20_000  # number of subnets whose parameters are counted


@dataclass(frozen=True)
class Preset:
    """A space and a batch size to measure.

    Args:
        name: name in the result.
        overrides: Hydra overrides that choose the space.
        index: index of the space's outer point.
        batch_size: images per step.
    """

    name: str
    overrides: tuple[str, ...]
    index: tuple[int, ...]
    batch_size: int


PRESETS = (
    Preset("autoformer_t", ("space=autoformer_t", "data.num_classes=1000"), (0, 0), 16),
    Preset("fashion_mnist", ("data=fashion_mnist", "data.root=unused"), (1, 0), 128),
)


class Timed:
    """A network with its optimiser; training steps and evaluations return their seconds."""

    def __init__(self, network: nn.Module, forward: Callable[[Tensor], Tensor]) -> None:
        self.network, self.forward = network, forward
        self.optimizer = build_optimizer(RECIPE, network)

    def train_step(self, images: Tensor, labels: Tensor) -> float:
        """Run one training step and return its seconds."""
        self.network.train()
        started = time.perf_counter()
        self.optimizer.zero_grad()
        torch.autograd.backward(functional.cross_entropy(self.forward(images), labels))
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        return time.perf_counter() - started

    @torch.inference_mode()
    def evaluate(self, images: Tensor) -> float:
        """Run the network on a batch and return the seconds."""
        self.network.eval()
        started = time.perf_counter()
        self.forward(images)
        return time.perf_counter() - started


def read_space(preset: Preset) -> SearchSpace:
    """Return the preset's space."""
    return SearchSpace.parse(compose("supernet_train", preset.overrides, TrainConfig)["space"])


def measure(preset: Preset, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one preset."""
    space, batch_size = read_space(preset), options.batch_size or preset.batch_size
    point, rng = space.point_at(preset.index), stream(0, "bench", preset.name)
    seed_everything(0, "bench")
    pad = (0.0,) * space.in_chans
    supernet = Supernet(space, point, pad)
    size = space.img_size[0]
    images = torch.randn(batch_size, space.in_chans, size, size)
    labels = torch.randint(space.num_classes, (batch_size,))
    subnets = [space.sample(point, rng) for _ in range(options.subnets)]
    train, evaluation = [], []
    for subnet in track(subnets, preset.name):
        pair = (_elastic(supernet, subnet), _dense(subnet, pad))
        train.append(
            _medians(options.repeats, [partial(n.train_step, images, labels) for n in pair])
        )
        evaluation.append(_medians(options.repeats, [partial(n.evaluate, images) for n in pair]))
    train_seconds, eval_seconds = np.array(train), np.array(evaluation)
    return {
        "name": preset.name,
        "subnets": options.subnets,
        "batch_size": batch_size,
        "train_overhead_ratio": float(np.median(train_seconds[:, 0] / train_seconds[:, 1])),
        "eval_overhead_ratio": float(np.median(eval_seconds[:, 0] / eval_seconds[:, 1])),
        "train_steps_per_second": float(1 / np.median(train_seconds[:, 0])),
        "eval_images_per_second": float(batch_size / np.median(eval_seconds[:, 0])),
    }


def _elastic(supernet: Supernet, subnet: SubnetConfig) -> Timed:
    return Timed(supernet, lambda images: supernet(images, subnet))


def _dense(subnet: SubnetConfig, pad: tuple[float, ...]) -> Timed:
    vit = Vit(subnet, pad)
    return Timed(vit, vit)


def _medians(repeats: int, functions: list[Callable[[], float]]) -> list[float]:
    """Return the median seconds of each function, run in turn, without the first round."""
    seconds = np.array([[function() for function in functions] for _ in range(repeats + 1)])
    return [float(value) for value in np.median(seconds[1:], axis=0)]


def count_parameters() -> float:
    """Return the number of subnets per second whose parameters are counted, none from a cache."""
    space, rng = read_space(PRESETS[0]), stream(0, "count")
    subnets = [space.sample(space.points()[0], rng) for _ in range(COUNTED)]
    started = time.perf_counter()
    total = sum(subnet.num_params for subnet in subnets)
    assert total > 0
    return COUNTED / (time.perf_counter() - started)


def bench(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every preset."""
    tool.require_at_least(
        1, subnets=options.subnets, repeats=options.repeats, threads=options.threads
    )
    if options.batch_size is not None:
        tool.require_at_least(1, **{"batch-size": options.batch_size})
    torch.set_num_threads(options.threads)
    presets = [measure(preset, options) for preset in PRESETS]
    ratios = ("train_overhead_ratio", "eval_overhead_ratio")
    rates = ("train_steps_per_second", "eval_images_per_second")
    return {
        **{name: max(preset[name] for preset in presets) for name in ratios},
        **{name: min(preset[name] for preset in presets) for name in rates},
        "param_counts_per_second": count_parameters(),
        "presets": presets,
    }


def tables(result: dict[str, Any]) -> list[Table]:
    """Return a row per preset, and the rate of parameter counts."""
    header = ("preset", "training step", "evaluation", "steps per second", "images per second")
    rows = [
        (
            preset["name"],
            f"x {preset['train_overhead_ratio']:.2f}",
            f"x {preset['eval_overhead_ratio']:.2f}",
            f"{preset['train_steps_per_second']:.2f}",
            f"{preset['eval_images_per_second']:,.0f}",
        )
        for preset in result["presets"]
    ]
    counts = [("subnets per second", f"{result['param_counts_per_second']:,.0f}")]
    return [
        Table(header, rows, "Times over those of the same layers built dense"),
        Table(("counting a subnet's parameters", ""), counts),
    ]


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("--subnets", type=int, default=8, help="per preset")
    parser.add_argument("--repeats", type=int, default=3, help="repeats of a measurement")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-size", type=int, help="images; the default is the preset's own")
    return tool.run(parser, bench, tables)


if __name__ == "__main__":
    raise SystemExit(main())
