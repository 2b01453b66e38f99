"""Export random subnets and compare numpy, host C and an emulated Cortex-M7, byte for byte.

    python tools/sweep_exports.py [--exports 50] [--images 100] [--emulated 8] [--json]
                                  [--markdown]

Subnets of the digits and Fashion-MNIST spaces, in turn, with random weights: dense and low rank,
every tokenizer, relative positions, class tokens, patch sizes that do not divide the image, every
operator form. One in two uses both regions of SRAM, half of those for the residual stream. Half of
the images are noise, half are smooth.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tool
from tool import Parser, Table

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.device import Device
from mcuformer.run.entry import compose
from mcuformer.run.presets import load
from mcuformer.run.progress import track
from mcuformer.seed import stream
from mcuformer.space import SearchSpace, draw
from mcuformer.subnet import SubnetConfig
from oplib.codegen.component import Component
from oplib.forms import Forms
from oplib.network.reference import run_integer
from oplib.network.vit import float_model, random_weights
from oplib.plan.arena import ONE_ARENA, FastRoom
from oplib.plan.schedule import schedule
from oplib.quantize.lower import quantize
from oplib.target import host, qemu
from oplib.target.firmware import write_firmware
from supernet.train import TrainConfig

SPACES = {"digits": (), "fashion_mnist": ("data.root=unused",)}
CHANGES: tuple[dict[str, Any], ...] = (
    {},
    {"relative_position": 3},
    {"class_token": True, "global_pool": "token"},
    {"class_token": True, "relative_position": 14, "absolute_position": False},
    {"tokenizer": ["conv1"], "patch_size": [4]},
    {"tokenizer": ["conv2"], "patch_size": [4], "stem_dim": 8},
    {"tokenizer": ["conv2"], "patch_size": [4], "stem_dim": 8, "relative_position": 2},
    {"patch_size": [3, 5]},
)
FORMS: tuple[dict[str, Any], ...] = (
    {},
    {"gelu": "sigmoid", "softmax": "polynomial"},
    {"gelu": "polynomial", "softmax": "shift"},
    {"residual": "int16"},
    {"low_rank": "int16", "attention_weights": "int8"},
    {"sqrt": "newton3", "residual": "int16", "low_rank": "int16"},
    {"sqrt": "exact", "patch_kernel": 1},
)
FAST = (ONE_ARENA, FastRoom(65_536), ONE_ARENA, FastRoom(65_536, stream=True))


@dataclass(frozen=True)
class Export:
    """A random network and its integer forms."""

    subnet: SubnetConfig
    forms: Forms
    preprocessing: Preprocessing


def draw_export(number: int) -> Export:
    """Draw network `number`; spaces, changes and forms take turns."""
    name = list(SPACES)[number % 2]
    composed = compose("supernet_train", (f"data={name}", *SPACES[name]), TrainConfig)
    space = SearchSpace.parse(composed["space"] | CHANGES[number // 2 % len(CHANGES)])
    rng = stream(0, "sweep", number)
    subnet = space.sample(draw(space.points(), rng), rng)
    preprocessing = Preprocessing.parse(composed["data"]["preprocessing"])
    return Export(subnet, Forms(**FORMS[number % len(FORMS)]), preprocessing)


def random_images(export: Export, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw images (count, H, W, C): noise, and a smooth gradient for every second one."""
    size, pre = export.subnet.img_size, export.preprocessing
    images = rng.integers(0, pre.value_max + 1, (count, size, size, pre.in_chans))
    ramp = np.linspace(0, pre.value_max, size).astype(np.int64)
    images[1::2] = (images[1::2, :1, :1] // 2 + ramp[None, :, None, None] // 2).astype(np.int64)
    return images.astype(np.uint8)


def run(export: Export, number: int, device: Device, images: int, emulated: int) -> tuple[int, int]:
    """Export a network; return the numbers of images that differ on host and emulated chip."""
    rng = stream(0, "weights", number)
    subnet, forms = export.subnet, export.forms
    weights = random_weights(subnet, rng)
    floating = float_model(subnet, weights, export.preprocessing, "random weights", forms)
    pixels = random_images(export, images, rng)
    integer = quantize(floating, pixels)
    expected = run_integer(integer, pixels)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = [str(label) for label in range(subnet.num_classes)]
        scheduled = schedule(subnet, forms, fast=FAST[(number // 2 + number // 16) % len(FAST)])
        write_firmware(folder, Component(integer, scheduled, device, names))
        library = host.build(folder, folder / "host")
        on_host = host.run_images(library, pixels, subnet.num_classes)
        elf = qemu.build(folder, folder / "emulated")
        on_chip = qemu.run_images(elf, device, pixels[:emulated], subnet.num_classes).logits
    return _differing(on_host, expected), _differing(on_chip, expected[:emulated])


def _differing(logits: np.ndarray, expected: np.ndarray) -> int:
    return int((logits != expected).any(axis=1).sum())


def sweep(options: argparse.Namespace) -> dict[str, Any]:
    """Export and compare every network."""
    tool.require_at_least(
        1, exports=options.exports, images=options.images, emulated=options.emulated
    )
    device = load("device", "stm32h743", Device)
    on_host = on_chip = 0
    for number in track(range(options.exports), "exports"):
        export = draw_export(number)
        mismatches = run(export, number, device, options.images, options.emulated)
        on_host, on_chip = on_host + mismatches[0], on_chip + mismatches[1]
        if any(mismatches):
            print(f"export {number} differs: {export}")
    return {
        "exports": options.exports,
        "images_per_export": options.images,
        "emulated_per_export": min(options.images, options.emulated),
        "host_mismatches": on_host,
        "emulated_mismatches": on_chip,
    }


def tables(result: dict[str, Any]) -> list[Table]:
    """Return a row for the host and one for the emulated chip."""
    rows = [
        (name, f"{result['exports'] * result[images]:,}", str(result[mismatches]))
        for name, images, mismatches in (
            ("host C", "images_per_export", "host_mismatches"),
            ("emulated Cortex-M7", "emulated_per_export", "emulated_mismatches"),
        )
    ]
    title = f"{result['exports']} random networks"
    return [Table(("compared with numpy", "images", "with a logit that differs"), rows, title)]


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("--exports", type=int, default=50)
    parser.add_argument("--images", type=int, default=100, help="images per export on the host")
    parser.add_argument(
        "--emulated", type=int, default=8, help="how many of them also run on the emulated chip"
    )
    return tool.run(
        parser,
        sweep,
        tables,
        wrong=lambda result: bool(result["host_mismatches"] or result["emulated_mismatches"]),
    )


if __name__ == "__main__":
    raise SystemExit(main())
