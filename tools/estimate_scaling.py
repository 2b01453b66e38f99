"""Hours of MCUFormer's search for T on ImageNet, on 1, 8 and 64 GPUs, before and after its scaling.

    python tools/estimate_scaling.py [--images 24] [--gpu-tflops 10] [--cores 16] [--json]

Measured here, in seconds of one core: augmentation of made-up 240 px images by DeiT's recipe
(random crop, mirror, RandAugment rand-m9-mstd0.5-inc1, erasing) and their normalisation. Counted:
the multiply-accumulates of subnets of space=t, in the mean over its points. Assumed: what a GPU
sustains in TFLOP/s, the CPU cores beside each GPU, and that processes share work without loss. A
training image takes six operations per multiply-accumulate (forward, and twice that backward), an
evaluated image two. ImageNet is read from the cache of decoded pictures.

Before, each process augmented in its main process, and one process normalised the images of every
evaluation. After, `--cores` workers augment, every process evaluates, images are normalised on the
GPU, and the steering split has 10,000 images (data.steering_fraction=0.0078) instead of a fifth.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import tool
import torch
from tool import Parser, Table

from mcuformer.chain import ChainConfig
from mcuformer.data.images import Split
from mcuformer.errors import ConfigError
from mcuformer.plan import Counts, Speed, expected_seconds
from mcuformer.run.entry import compose
from mcuformer.seed import stream
from supernet.data import BatchReader, to_tensor
from supernet.recipe import Recipe

IMAGENET = 1_281_167  # training images
STEERING = 10_000
GPUS = (1, 8, 64)
SUBNETS = 20  # per point, for the mean of multiply-accumulates
STAGES = ("evolve.space", "evolve.search")
RECIPE = {
    "batch_size": 1,
    "hflip": True,
    "resized_crop_scale": 0.08,
    "rand_augment": "rand-m9-mstd0.5-inc1",
    "random_erasing": 0.25,
}
SETTINGS = (
    "+experiment=mcuformer",
    "data=timm",
    "data.timm_name=imagenet",
    "data.root=unused",
    "data.img_size=240",
    "data.num_classes=1000",
    "space=t",
    "device=stm32f746_qspi",
    "space_search.max_visits=30",
)


@dataclass(frozen=True)
class Rates:
    """Images per second.

    Args:
        augmented: by one core, augmented.
        normalised: by one core, normalised.
        trained: by one GPU.
        evaluated: by one GPU.
    """

    augmented: float
    normalised: float
    trained: float
    evaluated: float


def per_core_second(count: int, prepare: Any) -> float:
    """Return how many of `count` images one core prepares per second of its time."""
    prepare(np.arange(1))  # imports, tables
    started = time.process_time()
    prepare(np.arange(count))
    return count / (time.process_time() - started)


def measure(config: ChainConfig, options: argparse.Namespace) -> tuple[Rates, float]:
    """Return the rates, and the mean multiply-accumulates of a subnet."""
    pre, count = config.data.preprocessing, options.images
    size = pre.img_size
    images = stream(0, "scaling").integers(0, 256, (count, size, size, 3)).astype(np.uint8)
    smooth = images[:, ::8, ::8].repeat(8, axis=1).repeat(8, axis=2)  # noise is slow to resize
    recipe = Recipe.model_validate(config.train.dump() | RECIPE)
    reader = BatchReader(Split(smooth, np.zeros(count, np.int64)), pre, recipe, 0)
    augmented = per_core_second(count, lambda indices: reader.prepare(0, indices))
    normalised = per_core_second(count, lambda indices: to_tensor(smooth[indices], pre))
    rng, space = stream(0, "scaling", "subnets"), config.space
    points = space.points()
    macs = float(np.mean([space.sample(p, rng).macs for p in points for _ in range(SUBNETS)]))
    flops = 1e12 * options.gpu_tflops
    return Rates(augmented, normalised, flops / (6 * macs), flops / (2 * macs)), macs


def hours(config: ChainConfig, counts: Counts, train: float, evaluate: float) -> list[float]:
    """Return the hours of both searches by number of GPUs.

    Args:
        config: configuration of the chain.
        counts: numbers of images.
        train: images per second and process, in training.
        evaluate: images per second and process, in evaluations.
    """
    speed = Speed(config.train.batch_size / train, 0.0, 0.0, 1 / evaluate, 0.0)
    found = [expected_seconds(config, counts, speed, processes) for processes in GPUS]
    return [sum(seconds[stage] for stage in STAGES) / 3600 for seconds in found]


def estimate(options: argparse.Namespace) -> dict[str, Any]:
    """Return rates and hours."""
    tool.require_at_least(1, images=options.images, cores=options.cores)
    if options.gpu_tflops <= 0:
        raise ConfigError("must be positive", where="--gpu-tflops", got=options.gpu_tflops)
    torch.set_num_threads(1)
    config = ChainConfig.parse(compose("mcuformer", SETTINGS, ChainConfig))
    rates, macs = measure(config, options)
    fifth = Counts(IMAGENET - IMAGENET // 5, IMAGENET // 5, 50_000)
    few = Counts(IMAGENET - STEERING, STEERING, 50_000)
    alone = min(rates.augmented, rates.trained)
    fed = min(options.cores * rates.augmented, rates.trained)
    shared = hours(config, fifth, alone, float("inf"))
    # evaluations ran on one process
    one = hours(config, fifth, float("inf"), min(rates.normalised, rates.evaluated))[0]
    before = [training + one for training in shared]
    after = hours(config, few, fed, rates.evaluated)
    return {
        "machine": {"gpu_tflops": options.gpu_tflops, "cores": options.cores},
        "mean_macs": macs,
        "images_per_second": {
            "augmented_per_core": rates.augmented,
            "normalised_per_core": rates.normalised,
            "trained_per_gpu": rates.trained,
            "evaluated_per_gpu": rates.evaluated,
        },
        "gpus": list(GPUS),
        "hours_before": before,
        "hours_after": after,
    }


def tables(result: dict[str, Any]) -> list[Table]:
    """Return the rates, and the hours by number of GPUs."""
    machine = result["machine"]
    sources = {
        "augmented_per_core": "measured",
        "normalised_per_core": "measured",
        "trained_per_gpu": f"assumed, {machine['gpu_tflops']:g} TFLOP/s",
        "evaluated_per_gpu": "assumed, as above",
    }
    rates = [
        (name.replace("_", " "), source, f"{result['images_per_second'][name]:,.0f}")
        for name, source in sources.items()
    ]
    rows = [
        (str(count), f"{before:,.1f}", f"{after:,.1f}", f"{before / after:,.0f}")
        for count, before, after in zip(
            result["gpus"], result["hours_before"], result["hours_after"], strict=True
        )
    ]
    return [
        Table(("GPUs", "hours before", "hours after", "ratio"), rows, "Hours"),
        Table(("240 px images", "source", "per second"), rates, "Rates", words=2),
        Table(
            ("per subnet", "source", "mean"),
            [("multiply-accumulates", "counted", f"{result['mean_macs'] / 1e6:,.0f} M")],
            "Work, over the points of the space",
            words=2,
        ),
    ]


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("--images", type=int, default=24, help="augmented for the measurement")
    parser.add_argument("--gpu-tflops", type=float, default=10.0, help="sustained, assumed")
    parser.add_argument("--cores", type=int, default=16, help="beside each GPU, assumed")
    return tool.run(parser, estimate, tables)


if __name__ == "__main__":
    raise SystemExit(main())
