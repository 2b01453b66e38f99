"""Whole networks with random weights on emulated chips: instructions, SRAM, flash, exactness.

    python tools/bench_network.py [NAME ...] [--images 2] [--budget BYTES] [--json] [--markdown]

`deit_tiny` and `paper_320k` (the paper's network for 320 KB) keep their weights in memory-mapped
external flash; the image is in SRAM or, for `_strip`, supplied in strips. SRAM is the sum of both
arenas, static data and the stack as measured; every schedule is chosen under the budget shown.
Instructions are those executed in QEMU. Milliseconds are modelled, as an interval: the core may
wait for its weights while it computes, or apart from that. Bytes read are those of weights and
constants: once per panel of tokens, because a data cache holds two rows of weights. The packing
bound is the least arena that any placement of this schedule's buffers could have; another schedule
has another.
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
from mcuformer.device import BudgetConfig, Device
from mcuformer.errors import ConfigError
from mcuformer.run.presets import load
from mcuformer.run.progress import track
from mcuformer.subnet import BlockConfig, SubnetConfig
from oplib.codegen.component import Component
from oplib.forms import Forms, Passes
from oplib.graph import Graph
from oplib.network.reference import IntegerModel, run_integer
from oplib.network.vit import float_model, random_weights
from oplib.ops.base import Array
from oplib.ops.registry import OPERATORS
from oplib.plan.check_plan import execute
from oplib.plan.schedule import Schedule
from oplib.plan.time_model import flash_bytes_read
from oplib.quantize.lower import quantize
from oplib.target import board, qemu
from oplib.target.firmware import write_firmware
from oplib.target.target import Target, built_footprint

CALIBRATION_IMAGES = 4


@dataclass(frozen=True)
class Network:
    """A network to measure.

    Args:
        subnet: the network's shape.
        device: name of a device in conf/device.
        budget: bytes of SRAM for the whole firmware.
        strip: whether the image is supplied in strips.
    """

    subnet: SubnetConfig
    device: str
    budget: int
    strip: bool = False


def vit(size: tuple[int, int, int], dim: int, block: BlockConfig, depth: int) -> SubnetConfig:
    """Return a ViT without a class token; `size` is (img_size, patch_size, channels)."""
    img_size, patch_size, chans = size
    return SubnetConfig(
        img_size=img_size,
        patch_size=patch_size,
        in_chans=chans,
        num_classes=1000 if img_size > 100 else 10,
        embed_dim=dim,
        blocks=(block,) * depth,
    )


DEIT_TINY = vit((224, 16, 3), 192, BlockConfig(num_heads=3, head_dim=64, mlp_ratio=4.0), 12)
PAPER = vit((240, 20, 3), 216, BlockConfig(num_heads=4, head_dim=64, mlp_ratio=4.0), 14).model_copy(
    update={"low_rank": ("qkv", "fc1", "fc2"), "rank_ratio": 0.9}
)
AUTOFORMER = vit(
    (224, 16, 3), 256, BlockConfig(num_heads=4, head_dim=64, mlp_ratio=4.0), 14
).model_copy(update={"class_token": True, "relative_position": 14, "norm_eps": 1e-5})
NETWORKS = {
    "deit_tiny": Network(DEIT_TINY, "stm32f746_qspi", 154_000),
    "deit_tiny_strip": Network(DEIT_TINY, "stm32f746_qspi", 93_700, strip=True),
    "deit_tiny_strip_100k": Network(DEIT_TINY, "stm32f746_qspi", 100_400, strip=True),
    "paper_320k": Network(PAPER, "stm32f746_qspi", 176_300),
    "paper_320k_strip": Network(PAPER, "stm32f746_qspi", 92_700, strip=True),
    "paper_320k_strip_110k": Network(PAPER, "stm32f746_qspi", 110_400, strip=True),
    "autoformer_t": Network(AUTOFORMER, "stm32f746_qspi", 175_000),
    "cifar_patch": Network(
        vit((32, 4, 3), 128, BlockConfig(num_heads=2, head_dim=64, mlp_ratio=2.0), 6),
        "stm32f405",
        30_000,
    ),
    "cifar_conv2": Network(
        vit((32, 4, 3), 128, BlockConfig(num_heads=2, head_dim=64, mlp_ratio=2.0), 6).model_copy(
            update={"tokenizer": "conv2", "stem_dim": 64}
        ),
        "stm32f405",
        29_000,
    ),
    "patch_484": Network(  # fills both regions of the F405
        vit((176, 8, 3), 128, BlockConfig(num_heads=2, head_dim=64, mlp_ratio=2.0), 4),
        "stm32f405",
        192 * 1024,
    ),
    "digits": Network(
        vit((8, 2, 1), 48, BlockConfig(num_heads=3, head_dim=16, mlp_ratio=2.0), 3),
        "stm32f100",
        4_096,
    ),
}


def preprocessing(subnet: SubnetConfig) -> Preprocessing:
    """Return the normalisation of random pixels."""
    chans = subnet.in_chans
    return Preprocessing(
        img_size=subnet.img_size,
        channel_order="RGB" if chans == 3 else "L",
        value_max=255,
        mean=(0.5,) * chans,
        std=(0.25,) * chans,
    )


@dataclass(frozen=True)
class Prepared:
    """A network with random weights, scheduled for its device, and random images.

    Args:
        target: device, budget and forms.
        model: the integer network.
        scheduled: its calls and their memory.
        images: raw pixels (B, H, W, C) that it was not calibrated on.
    """

    target: Target
    model: IntegerModel
    scheduled: Schedule
    images: Array

    def write(self, folder: Path) -> None:
        """Write the firmware into a folder."""
        count = self.scheduled.calls.tensors[self.scheduled.calls.output].size
        classes = [str(index) for index in range(count)]
        write_firmware(folder, Component(self.model, self.scheduled, self.target.device, classes))


def prepare(network: Network, images: int, budget: int) -> Prepared:
    """Return a network that is ready to be written.

    Args:
        network: the network.
        images: number of images.
        budget: bytes of SRAM for the whole firmware.
    """
    subnet, rng = network.subnet, np.random.default_rng(0)
    forms = Forms(passes=Passes(input="strip" if network.strip else "image"))
    pre = preprocessing(subnet)
    floating = float_model(subnet, random_weights(subnet, rng), pre, "random weights", forms)
    shape = (CALIBRATION_IMAGES + images, subnet.img_size, subnet.img_size, subnet.in_chans)
    pixels = rng.integers(0, 256, shape).astype(np.uint8)
    model = quantize(floating, pixels[:CALIBRATION_IMAGES])
    device = load("device", network.device, Device)
    target = Target(device, BudgetConfig(sram_bytes=budget), forms)
    return Prepared(target, model, target.schedule(subnet), pixels[CALIBRATION_IMAGES:])


def bench(name: str, images: int, budget: int | None) -> dict[str, Any]:
    """Build, run and compare one network.

    Args:
        name: key of NETWORKS.
        images: number of images.
        budget: bytes of SRAM in place of the network's own budget; None keeps that.
    """
    network = NETWORKS[name]
    limit = network.budget if budget is None else budget
    ready, subnet = prepare(network, images, limit), network.subnet
    model, scheduled, device, tested = (
        ready.model,
        ready.scheduled,
        ready.target.device,
        ready.images,
    )
    expected, time = run_integer(model, tested), ready.target.cost(subnet).time
    in_arena = execute(model, scheduled.calls, scheduled.plan, tested[0])
    with tempfile.TemporaryDirectory(prefix="mcuformer-bench-") as folder:
        ready.write(Path(folder))
        elf = qemu.build(Path(folder), Path(folder) / "build")
        result = qemu.run_images(elf, device, tested, subnet.num_classes)
        built = built_footprint(board.measure(elf), result.stack_high_water_bytes)
    instructions = int(result.instructions.max())
    return {
        "name": name,
        "device": device.name,
        "macs": subnet.macs,
        "instructions": instructions,
        **({} if time is None else time.dump()),
        "sram_bytes": built.sram_bytes,
        "arena_bytes": built.arena_bytes,
        "fast_arena_bytes": built.fast_bytes,
        "static_bytes": built.static_bytes,
        "stack_bytes": built.stack_bytes,
        "lower_bound_bytes": scheduled.plan.lower_bound_bytes,
        "flash_bytes": built.flash_bytes,
        "weights_bytes": built.weights_bytes,
        "external_bytes_read": flash_bytes_read(scheduled.calls),
        "budget_bytes": limit,
        "schedule": schedules(scheduled.calls),
        "bit_exact": bool(
            np.array_equal(result.logits, expected) and np.array_equal(in_arena, expected[0])
        ),
    }


def schedules(calls: Graph) -> dict[str, list[str]]:
    """Return the different schedules of each kernel's calls, such as ``group 1, panel 8``."""
    found: dict[str, list[str]] = {}
    for node in calls.nodes:
        settings = OPERATORS[node.op].settings(node)
        text = ", ".join(f"{name} {value}" for name, value in settings.items())
        if text and text not in found.setdefault(node.op, []):
            found[node.op].append(text)
    return found


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the networks named, or all of them."""
    names = options.names or list(NETWORKS)
    for name in names:
        if name not in NETWORKS:
            raise ConfigError(
                "no such network", where="NAME", got=name, expected=", ".join(NETWORKS)
            )
    tool.require_at_least(1, images=options.images)
    rows = [bench(name, options.images, options.budget) for name in track(names, "networks")]
    return {"networks": rows}


def tables(result: dict[str, Any]) -> list[Table]:
    """Return a row per network."""
    work = (
        "instructions",
        "per MAC",
        "ms, modelled",
        "of the core",
        "of the memory",
        "bytes read, MB",
    )
    sizes = ("SRAM", "budget", "arena", "packing bound", "static", "stack", "flash")
    exact = "logits equal to numpy's"
    keys = ("sram", "budget", "arena", "lower_bound", "static", "stack", "flash")
    rows = [
        (
            row["name"],
            row["device"],
            f"{row['instructions'] / 1e6:,.2f} M",
            f"{row['instructions'] / row['macs']:.2f}",
            f"{row['ms_low']:,.0f} to {row['ms_high']:,.0f}",
            *(f"{row[key]:,.0f}" for key in ("ms_cpu", "ms_memory")),
            f"{row['external_bytes_read'] / 1e6:,.0f}",
            *(f"{row[f'{key}_bytes']:,}" for key in keys),
            "all" if row["bit_exact"] else "NOT ALL",
        )
        for row in result["networks"]
    ]
    calls = [
        (row["name"], op, "; ".join(texts))
        for row in result["networks"]
        for op, texts in row["schedule"].items()
    ]
    return [
        Table(("network", "device", *work, *sizes, exact), rows, "measured", words=2),
        Table(("network", "operator", "heads, tokens per pass"), calls, "schedules", words=3),
    ]


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"networks: {', '.join(NETWORKS)}")
    parser.add_argument(
        "--images", type=int, default=2, help="number of images compared with numpy (2)"
    )
    parser.add_argument(
        "--budget", type=int, help="bytes of SRAM, in place of a network's own budget"
    )
    return tool.run(
        parser,
        measure,
        tables,
        wrong=lambda result: not all(row["bit_exact"] for row in result["networks"]),
    )


if __name__ == "__main__":
    raise SystemExit(main())
