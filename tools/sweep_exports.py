"""Export random subnets that a device admits; compare logits, and bytes with what was promised.

    python tools/sweep_exports.py [--exports 100] [--images 100] [--emulated 8] [--json]
                                  [--markdown]

Subnets of the digits and Fashion-MNIST spaces, with random weights, for every device in turn: dense
and low rank, every tokenizer, relative positions, class tokens, patch sizes that do not divide the
image, every operator form, one in five with its image in strips where the form allows it. On a
device with a fast region three in four use it, one of them for the residual stream. Half of the
images are noise, half are smooth. Numpy, host C and emulated chip must agree; arenas and weights as
linked must be those planned, code within 10 % of its estimate, the stack as painted within its
bound, and that within the device's reserve.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tool
from tool import Parser, Table

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.device import Device
from mcuformer.errors import BudgetError
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
from oplib.plan.footprint import planned_cost
from oplib.plan.schedule import least_arena, schedule
from oplib.quantize.lower import quantize
from oplib.target import host, qemu
from oplib.target.board import measure
from oplib.target.firmware import write_firmware
from oplib.target.stack_bound import stack_bounds
from oplib.target.target import Target
from supernet.train import TrainConfig

DEVICES = ("stm32f100", "stm32f405", "stm32f427", "stm32f746", "stm32f746_qspi", "stm32h743")
SPACES = {"digits": (), "fashion_mnist": ("data.root=unused",)}
SMALL = "stm32f100"  # it admits no subnet of the second space
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
STREAM = (False, None, False, True)  # what the fast arena is for: scratch, nothing, the stream too
IN_STRIPS = 5  # one in so many
ATTEMPTS = 400
CODE_TOLERANCE_PERCENT = 10.0


@dataclass(frozen=True)
class Export:
    """A random network, its integer forms, and the device that admits it."""

    subnet: SubnetConfig
    forms: Forms
    preprocessing: Preprocessing
    device: Device
    fast: FastRoom

    @property
    def target(self) -> Target:
        """Device and forms."""
        return Target(self.device, forms=self.forms)


@dataclass(frozen=True)
class Measured:
    """What one export measured.

    Args:
        host: number of images whose logits differ on the host.
        emulated: the same on the emulated chip.
        planned: arena, fast arena and weights as planned, in bytes.
        linked: the same as linked.
        code_percent: how much larger than its estimate the code is.
        stack: bytes of the stack: as painted, its bound, and as reserved.
    """

    host: int
    emulated: int
    planned: tuple[int, int, int]
    linked: tuple[int, int, int]
    code_percent: float
    stack: tuple[int, int, int]


def draw_export(number: int) -> Export:
    """Draw network `number`; devices, spaces, changes and forms take turns.

    Raises:
        BudgetError: none of many subnets fits the device.
    """
    device = load("device", DEVICES[number % len(DEVICES)], Device)
    name = "digits" if device.name == SMALL else list(SPACES)[number // len(DEVICES) % 2]
    composed = compose("supernet_train", (f"data={name}", *SPACES[name]), TrainConfig)
    space = SearchSpace.parse(composed["space"] | CHANGES[number // 2 % len(CHANGES)])
    preprocessing = Preprocessing.parse(composed["data"]["preprocessing"])
    forms = Forms.parse(FORMS[number % len(FORMS)])
    if number % IN_STRIPS == 0 and forms.residual == "int8":
        forms = Forms.parse(forms.dump() | {"passes": {"input": "strip"}})
    target, rng = Target(device, forms=forms), stream(0, "sweep", number)
    stream_too = STREAM[(number // 2 + number // 16) % len(STREAM)]
    fast = ONE_ARENA
    if device.fast_region is not None and stream_too is not None:
        fast = FastRoom(target.fast_bytes, stream_too)
    for _ in range(ATTEMPTS):
        subnet = space.sample(draw(space.points(), rng), rng)
        if target.admits(subnet) and least_arena(subnet, forms, fast) <= target.arena_bytes:
            return Export(subnet, forms, preprocessing, device, fast)
    raise BudgetError(f"none of {ATTEMPTS} subnets fits {device.name}", where=f"export {number}")


def random_images(export: Export, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw images (count, H, W, C): noise, and a smooth gradient for every second one."""
    size, pre = export.subnet.img_size, export.preprocessing
    images = rng.integers(0, pre.value_max + 1, (count, size, size, pre.in_chans))
    ramp = np.linspace(0, pre.value_max, size).astype(np.int64)
    images[1::2] = (images[1::2, :1, :1] // 2 + ramp[None, :, None, None] // 2).astype(np.int64)
    return images.astype(np.uint8)


def run(export: Export, number: int, images: int, emulated: int) -> Measured:
    """Export a network, run it on host and emulated chip, and measure it."""
    rng = stream(0, "weights", number)
    subnet, forms, device = export.subnet, export.forms, export.device
    weights = random_weights(subnet, rng)
    floating = float_model(subnet, weights, export.preprocessing, "random weights", forms)
    pixels = random_images(export, images, rng)
    integer = quantize(floating, pixels)
    expected = run_integer(integer, pixels)
    planned = planned_cost(subnet, device.core, forms, fast=export.fast)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = [str(label) for label in range(subnet.num_classes)]
        component = Component(integer, schedule(subnet, forms, fast=export.fast), device, names)
        write_firmware(folder, component)
        library = host.build(folder, folder / "host")
        on_host = host.run_images(library, pixels, subnet.num_classes)
        elf = qemu.build(folder, folder / "emulated")
        on_chip = qemu.run_images(elf, device, pixels[:emulated], subnet.num_classes)
        linked, bound = measure(elf), stack_bounds(elf, component.name).stack_bytes
    return Measured(
        host=_differing(on_host, expected),
        emulated=_differing(on_chip.logits, expected[:emulated]),
        planned=(planned.arena, planned.fast, planned.weights),
        linked=(linked.arena, linked.fast, linked.weights),
        code_percent=100.0 * (linked.code / planned.code - 1.0),
        stack=(on_chip.stack_high_water_bytes, bound, device.stack_reserve_bytes),
    )


def _differing(logits: np.ndarray, expected: np.ndarray) -> int:
    return int((logits != expected).any(axis=1).sum())


def sweep(options: argparse.Namespace) -> dict[str, Any]:
    """Export, compare and measure every network."""
    tool.require_at_least(
        1, exports=options.exports, images=options.images, emulated=options.emulated
    )
    results = []
    for number in track(range(options.exports), "exports"):
        export = draw_export(number)
        result = run(export, number, options.images, options.emulated)
        results.append(result)
        if wrong(totals([result])):
            print(f"export {number} is wrong: {result}, {export}")
    return {
        "exports": options.exports,
        "images_per_export": options.images,
        "emulated_per_export": min(options.images, options.emulated),
        **totals(results),
    }


def totals(results: Sequence[Measured]) -> dict[str, Any]:
    """Return how many images or exports of some results are wrong, and how far they are off."""
    sizes = [
        linked - planned
        for result in results
        for planned, linked in zip(result.planned, result.linked, strict=True)
    ]
    code = [round(result.code_percent, 2) for result in results]
    stack = [painted - bound for painted, bound, _ in (result.stack for result in results)]
    reserve = [bound - reserve for _, bound, reserve in (result.stack for result in results)]
    return {
        "host_mismatches": sum(result.host for result in results),
        "emulated_mismatches": sum(result.emulated for result in results),
        "size_mismatches": sum(result.planned != result.linked for result in results),
        "size_bytes": [min(sizes), max(sizes)],
        "code_off": sum(abs(percent) > CODE_TOLERANCE_PERCENT for percent in code),
        "code_percent": [min(code), max(code)],
        "stack_over_bound": sum(excess > 0 for excess in stack),
        "stack_bytes": [min(stack), max(stack)],
        "stack_over_reserve": sum(excess > 0 for excess in reserve),
        "reserve_bytes": [min(reserve), max(reserve)],
    }


WRONG = (
    "host_mismatches",
    "emulated_mismatches",
    "size_mismatches",
    "code_off",
    "stack_over_bound",
    "stack_over_reserve",
)


def wrong(result: dict[str, Any]) -> bool:
    """Return whether anything is not as promised."""
    return any(result[name] for name in WRONG)


def tables(result: dict[str, Any]) -> list[Table]:
    """Return a table of what was compared with numpy, and one of what had been promised."""
    rows = [
        (name, f"{result['exports'] * result[images]:,}", str(result[mismatches]))
        for name, images, mismatches in (
            ("host C", "images_per_export", "host_mismatches"),
            ("emulated chip", "emulated_per_export", "emulated_mismatches"),
        )
    ]
    promises = [
        (text, f"{result[ends][0]:+g} to {result[ends][1]:+g} {unit}", str(result[name]))
        for text, ends, unit, name in (
            ("arenas and weights as planned", "size_bytes", "bytes", "size_mismatches"),
            ("code within 10 % of its estimate", "code_percent", "%", "code_off"),
            ("stack within its bound", "stack_bytes", "bytes", "stack_over_bound"),
            ("bound within the reserve", "reserve_bytes", "bytes", "stack_over_reserve"),
        )
    ]
    title = f"{result['exports']} random networks"
    return [
        Table(("compared with numpy", "images", "with a logit that differs"), rows, title),
        Table(
            ("promise", "difference", "exports that break it"),
            promises,
            f"{title}, what was promised",
        ),
    ]


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("--exports", type=int, default=100)
    parser.add_argument("--images", type=int, default=100, help="images per export on the host")
    parser.add_argument(
        "--emulated", type=int, default=8, help="how many of them also run on the emulated chip"
    )
    return tool.run(parser, sweep, tables, wrong)


if __name__ == "__main__":
    raise SystemExit(main())
